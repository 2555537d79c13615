package protect

import (
	"crypto/subtle"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

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
	of := secretsOf(v)
	if of == nil || of.retry == nil {
		return append(b, make([]byte, wire.RetryTagLen)...)
	}
	tag := of.retry.Seal(pseudo[len(pseudo):], of.retryNonce, nil, pseudo)
	return append(b, tag...)
}

// VerifyRetry reports whether a Retry packet carries the tag that it must, where odcid is the destination connection ID
// of the client's first Initial packet. A client drops a Retry for which it is false.
func VerifyRetry(p *wire.RetryPacket, odcid wire.ConnectionID) bool {
	if of := secretsOf(p.Version); of == nil || of.retry == nil {
		return false
	}
	n := len(p.Pseudo)
	b := append(make([]byte, 0, 2*n+64), p.Pseudo...)
	return subtle.ConstantTimeCompare(AppendRetryTag(b, p.Version, odcid)[n:], p.Tag[:]) == 1
}
