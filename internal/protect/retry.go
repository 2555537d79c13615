package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// The key and nonce of version 1's Retry packets (RFC 9001, Section 5.8). They are no secret: the tag shows that a Retry
// was not damaged on the way and that its sender has seen the Initial packet.
var (
	retryKey   = []byte{0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e}
	retryNonce = []byte{0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb}
	retryAEAD  = newRetryAEAD()
)

// newRetryAEAD returns nil where Go is told to allow nothing that FIPS 140 does not know; there, no connection can be
// made either, and NewInitial returns the error.
func newRetryAEAD() cipher.AEAD {
	block, err := aes.NewCipher(retryKey)
	if err != nil {
		return nil
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	return aead
}

// AppendRetryTag appends to b, which is a Retry packet without its tag, the tag, where odcid is the destination
// connection ID of the Initial packet that it answers. It allocates nothing if b has room for as many bytes again, plus
// 37.
func AppendRetryTag(b []byte, v wire.Version, odcid wire.ConnectionID) []byte {
	n := len(b)
	// The Retry Pseudo-Packet is built behind the packet itself.
	scratch := append(b, byte(odcid.Len()))
	scratch = odcid.Append(scratch)
	scratch = append(scratch, b...)
	pseudo := scratch[n:]
	if retryAEAD == nil || !v.Known() {
		return append(b, make([]byte, wire.RetryTagLen)...)
	}
	tag := retryAEAD.Seal(pseudo[len(pseudo):], retryNonce, nil, pseudo)
	return append(b, tag...)
}

// VerifyRetry reports whether a Retry packet carries the tag that it must, where odcid is the destination connection ID
// of the client's first Initial packet. A client drops a Retry for which it is false.
func VerifyRetry(p *wire.RetryPacket, odcid wire.ConnectionID) bool {
	if retryAEAD == nil || !p.Version.Known() {
		return false
	}
	n := len(p.Pseudo)
	b := append(make([]byte, 0, 2*n+64), p.Pseudo...)
	return subtle.ConstantTimeCompare(AppendRetryTag(b, p.Version, odcid)[n:], p.Tag[:]) == 1
}
