package quic

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Defaults for how long address-validation tokens are good.
const (
	defaultRetryTokenLife = 10 * time.Second
	defaultTokenLife      = 24 * time.Hour

	// tokenSkew is how far the clocks of a fleet's servers may differ: a token from the future is not good.
	tokenSkew = 5 * time.Second
)

// An address-validation token is a byte that tells its kind, a nonce, and a sealed text:
//
//	Retry:      issued (8), length of ODCID (1), ODCID padded to 20; authenticates version, IP address, port, DCID
//	NEW_TOKEN:  issued (8);                                          authenticates version, IP address
//
// RFC 9369, Sections 4.1 and 5: the version of a Retry token is the one that the client began with, that of a NEW_TOKEN
// token the one that was negotiated.
//
// Each kind has one length. So a Retry token is recognised for one even where it can't be opened, because the key
// changed or the client's port did, and the client learns at once that the attempt failed (RFC 9000, Sections 8.1.1 and
// 8.1.3). The nonce of XChaCha20-Poly1305 is long enough to be random, however many servers share the key for however
// long.
const (
	retryTokenKind = 0xd1
	newTokenKind   = 0xd2

	tokenNonceLen = chacha20poly1305.NonceSizeX
	tokenSealLen  = chacha20poly1305.Overhead
	newTokenText  = 8
	retryText     = newTokenText + 1 + wire.MaxConnectionIDLen
	newTokenLen   = 1 + tokenNonceLen + newTokenText + tokenSealLen
	retryTokenLen = 1 + tokenNonceLen + retryText + tokenSealLen
)

// TokenID identifies an address-validation token. It is unpredictable.
type TokenID [16]byte

// endpointSecrets is what an endpoint makes tokens with. It is safe for concurrent use.
type endpointSecrets struct {
	resetKey [32]byte
	tokens   *TokenKeys // nil where there is no server
}

// newEndpointSecrets takes a random key if it is nil.
func newEndpointSecrets(key *[32]byte, random io.Reader) *endpointSecrets {
	if random == nil {
		random = rand.Reader
	}
	s := new(endpointSecrets)
	if key != nil {
		s.resetKey = *key
	} else {
		mustRead(random, s.resetKey[:])
	}
	return s
}

// withTokens returns s with the given keys of tokens, or with those derived from its own key if there are none.
func (s *endpointSecrets) withTokens(tokens *TokenKeys) (*endpointSecrets, error) {
	var err error
	if tokens == nil {
		tokens, err = NewTokenKeys(s.resetKey)
	}
	return &endpointSecrets{s.resetKey, tokens}, err
}

// resetToken returns the stateless reset token of a connection ID that this endpoint issued: HMAC-SHA256 under the
// endpoint's key, cut to its length (RFC 9000, Section 10.3.2). Whoever has the key can make it again after all else is lost.
func (s *endpointSecrets) resetToken(cid ConnectionID) (token StatelessResetToken) {
	sum := protect.HMAC256(s.resetKey[:], cid.Bytes())
	copy(token[:], sum[:])
	return token
}

// newToken returns a token for a NEW_TOKEN frame, which proves that the client at addr has received it (RFC 9000, Section
// 8.1.3).
func (s *endpointSecrets) newToken(now time.Time, v Version, addr netip.Addr, random io.Reader) []byte {
	var text [newTokenText]byte
	binary.BigEndian.PutUint64(text[:], uint64(now.UnixMilli()))
	aad := newTokenAAD(v, addr)
	return s.sealToken(make([]byte, 0, newTokenLen), newTokenKind, random, text[:], aad[:])
}

// appendRetryToken appends the token of a Retry packet that gives the client at addr the connection ID scid.
func (s *endpointSecrets) appendRetryToken(
	b []byte, now time.Time, v Version, addr netip.AddrPort, odcid, scid ConnectionID, random io.Reader,
) []byte {
	var text [retryText]byte
	binary.BigEndian.PutUint64(text[:], uint64(now.UnixMilli()))
	text[newTokenText] = byte(odcid.Len())
	copy(text[newTokenText+1:], odcid.Bytes())
	aad := retryTokenAAD(v, addr, scid)
	return s.sealToken(b, retryTokenKind, random, text[:], aad[:])
}

func (s *endpointSecrets) sealToken(b []byte, kind byte, random io.Reader, text, aad []byte) []byte {
	b = append(b, kind)
	n := len(b)
	b = append(b, make([]byte, tokenNonceLen)...)
	nonce := b[n:]
	mustRead(random, nonce)
	return s.tokens.seal(b, nonce, text, aad)
}

// newTokenAAD and retryTokenAAD return what a token is bound to besides its text.
func newTokenAAD(v Version, addr netip.Addr) (aad [1 + 4 + 16]byte) {
	aad[0] = newTokenKind
	binary.BigEndian.PutUint32(aad[1:], uint32(v))
	ip := addr.As16()
	copy(aad[5:], ip[:])
	return aad
}

func retryTokenAAD(
	v Version, addr netip.AddrPort, dcid ConnectionID,
) (aad [1 + 4 + 16 + 2 + 1 + wire.MaxConnectionIDLen]byte) {
	aad[0] = retryTokenKind
	binary.BigEndian.PutUint32(aad[1:], uint32(v))
	ip := addr.Addr().As16()
	copy(aad[5:], ip[:])
	binary.BigEndian.PutUint16(aad[21:], addr.Port())
	aad[23] = byte(dcid.Len())
	copy(aad[24:], dcid.Bytes())
	return aad
}

// tokenVerdict is what the token of an Initial packet is.
type tokenVerdict uint8

const (
	tokenNone     tokenVerdict = iota // none, or none that means anything here: as if there were none
	tokenRetry                        // from a Retry packet, good
	tokenNew                          // from a NEW_TOKEN frame, good if it was not used before
	tokenBadRetry                     // from a Retry packet, not good: the attempt can't succeed
)

// openedToken is a token that was checked.
type openedToken struct {
	verdict tokenVerdict
	odcid   ConnectionID // tokenRetry
	id      TokenID      // tokenNew
	expires time.Time    // tokenNew
}

// tokenLives says how long tokens are good; not positive means never.
type tokenLives struct{ retry, new time.Duration }

// openToken checks the token of an Initial packet that came from addr with destination connection ID dcid.
func (s *endpointSecrets) openToken(
	now time.Time, v Version, addr netip.AddrPort, dcid ConnectionID, token []byte, lives tokenLives,
) openedToken {
	switch {
	case len(token) == retryTokenLen && token[0] == retryTokenKind:
		aad := retryTokenAAD(v, addr, dcid)
		text, ok := s.openSealed(token, aad[:])
		if !ok || !fresh(now, text, lives.retry) || text[newTokenText] > wire.MaxConnectionIDLen {
			return openedToken{verdict: tokenBadRetry}
		}
		odcid := text[newTokenText+1:][:text[newTokenText]]
		return openedToken{verdict: tokenRetry, odcid: wire.NewConnectionID(odcid)}
	case isNewToken(token):
		aad := newTokenAAD(v, addr.Addr())
		text, ok := s.openSealed(token, aad[:])
		if !ok || !fresh(now, text, lives.new) {
			return openedToken{}
		}
		return openedToken{verdict: tokenNew, id: TokenID(token[1:17]), expires: issued(text).Add(lives.new)}
	}
	return openedToken{}
}

// isNewToken reports whether token looks like one of a NEW_TOKEN frame of ours.
func isNewToken(token []byte) bool { return len(token) == newTokenLen && token[0] == newTokenKind }

func (s *endpointSecrets) openSealed(token, aad []byte) ([]byte, bool) {
	nonce, sealed := token[1:1+tokenNonceLen], token[1+tokenNonceLen:]
	return s.tokens.open(nonce, sealed, aad)
}

func issued(text []byte) time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(text))) }

func fresh(now time.Time, text []byte, life time.Duration) bool {
	age := now.Sub(issued(text))
	return age >= -tokenSkew && age < life
}
