package protect

import (
	"errors"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// ErrOpen means that a packet is not authentic under the key it was tried with.
var ErrOpen = errors.New("protect: packet failed authentication")

// Sealer protects the packets that one side sends at one encryption level. It is not safe for concurrent use.
type Sealer struct {
	key    key
	header headerKey
	suite  Suite
}

// NewSealer returns a Sealer for a secret that TLS gave.
func NewSealer(v wire.Version, s Suite, secret []byte) (*Sealer, error) {
	of, err := checked(v, s)
	if err != nil {
		return nil, err
	}
	k, from := &Sealer{suite: s}, s.newSecret(secret)
	if err := errors.Join(k.key.init(of, from), k.header.init(s, from.headerProtection(of))); err != nil {
		return nil, err
	}
	return k, nil
}

// Seal protects a packet in place: pkt is its header, whose packet number pn takes pnLen bytes at pnOffset, and its
// payload. pkt must have room for Overhead bytes more, and packet number and payload must be at least 4 bytes long
// together, so that there is something to sample (RFC 9001, Section 5.4.2). It returns the packet as it goes on the wire.
func (s *Sealer) Seal(pkt []byte, pnOffset, pnLen int, pn uint64) []byte {
	pkt = s.key.seal(pkt, pnOffset+pnLen, pn)
	s.header.protect(pkt, pnOffset, pnLen)
	return pkt
}

// Suite returns the cipher suite.
func (s *Sealer) Suite() Suite { return s.suite }

// Opener removes protection from the packets that one side receives at one encryption level. It is not safe for
// concurrent use.
type Opener struct {
	key    key
	header headerKey
	suite  Suite
}

// NewOpener returns an Opener for a secret that TLS gave.
func NewOpener(v wire.Version, s Suite, secret []byte) (*Opener, error) {
	of, err := checked(v, s)
	if err != nil {
		return nil, err
	}
	k, from := &Opener{suite: s}, s.newSecret(secret)
	if err := errors.Join(k.key.init(of, from), k.header.init(s, from.headerProtection(of))); err != nil {
		return nil, err
	}
	return k, nil
}

// Unmask removes header protection in place from a packet whose packet number stands at pnOffset. expected is one more
// than the largest packet number received in the packet number space, 0 if none was. It is false for a packet that is
// too short to have been protected.
func (o *Opener) Unmask(pkt []byte, pnOffset int, expected uint64) (pn uint64, pnLen int, ok bool) {
	truncated, pnLen, ok := o.header.unprotect(pkt, pnOffset)
	if !ok {
		return 0, 0, false
	}
	return wire.DecodePN(expected, truncated, pnLen), pnLen, true
}

// Open decrypts in place a packet whose header was unmasked, and returns its payload. payloadOffset is pnOffset+pnLen.
// The only error is ErrOpen.
func (o *Opener) Open(pkt []byte, payloadOffset int, pn uint64) ([]byte, error) {
	return o.key.open(pkt, payloadOffset, pn)
}

// Suite returns the cipher suite.
func (o *Opener) Suite() Suite { return o.suite }
