package quic

import (
	"slices"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// maxCryptoBuffer is how many bytes ahead of what TLS has consumed a peer may send in CRYPTO frames of one encryption
// level. RFC 9000, Section 7.5 asks for 4,096 at least; chains of certificates need more.
const maxCryptoBuffer = 64 << 10

// maxCryptoGaps bounds the holes between what was received ahead. The books of more would outgrow the data. It does not hold
// for the first minCryptoBuffer bytes, which are never refused: RFC 9000, Section 7.5 (MUST 1).
const (
	maxCryptoGaps   = 256
	minCryptoBuffer = 4096
)

// usualFlight is how many bytes follow the first message of a flight of several: a server's with a small certificate.
const usualFlight = 900

// cryptoStream carries the TLS messages of one encryption level, both ways (RFC 9000, Section 19.6).
type cryptoStream struct {
	in  cryptoIn
	out cryptoOut
}

// cryptoIn puts received CRYPTO frames in order.
type cryptoIn struct {
	base uint64 // offset of the first byte that TLS has not had
	buf  []byte // bytes from base on, with holes
	have rangeset.Set
	// borrowed: buf is the rest of the frame in hand. Almost all frames come in order, and need no copy.
	borrowed bool
}

// add takes the data of one frame, which must stay as it is until the next call or until next gives no more. It reports false if
// that lies too far ahead, or leaves too many holes (CRYPTO_BUFFER_EXCEEDED).
func (s *cryptoIn) add(off uint64, data []byte) bool {
	end := off + uint64(len(data))
	if end <= s.base {
		return true
	}
	if end-s.base > maxCryptoBuffer {
		return false
	}
	if off < s.base {
		data = data[s.base-off:]
		off = s.base
	}
	switch {
	case s.borrowed:
		rest := s.buf
		*s = cryptoIn{base: s.base}
		s.keep(s.base, rest)
	case off == s.base && s.have.Empty():
		s.buf, s.borrowed = data, true
		return true
	}
	s.keep(off, data)
	return s.have.Len() <= maxCryptoGaps || len(s.buf) <= minCryptoBuffer
}

// keep copies data, which is no older than what TLS has had.
func (s *cryptoIn) keep(off uint64, data []byte) {
	end := off + uint64(len(data))
	if need := int(end - s.base); need > len(s.buf) {
		s.buf = append(s.buf, make([]byte, need-len(s.buf))...)
	}
	copy(s.buf[off-s.base:], data)
	s.have.Add(off, end)
}

// next returns what is contiguous, to be consumed.
func (s *cryptoIn) next() []byte {
	if s.borrowed {
		return s.buf
	}
	if s.have.Empty() {
		return nil
	}
	if r := s.have.Range(0); r.Start == s.base {
		return s.buf[:r.Len()]
	}
	return nil
}

// consume drops the first n bytes of what next returned.
func (s *cryptoIn) consume(n int) {
	s.have.Remove(s.base, s.base+uint64(n))
	s.base += uint64(n)
	s.buf = s.buf[n:]
	if s.borrowed && len(s.buf) == 0 || !s.borrowed && s.have.Empty() {
		*s = cryptoIn{base: s.base}
	}
}

// pending reports whether something was received but not consumed.
func (s *cryptoIn) pending() bool { return s.borrowed || !s.have.Empty() }

// cryptoOut sends CRYPTO frames until they are acknowledged.
type cryptoOut struct {
	base  uint64 // offset of the first byte not acknowledged
	nxt   uint64 // offset of the first byte never sent
	buf   []byte // bytes from base on
	lost  rangeset.Set
	acked rangeset.Set // above base
}

// write queues b.
func (s *cryptoOut) write(b []byte) {
	if n := len(s.buf); n > 0 && n+len(b) > cap(s.buf) {
		s.buf = slices.Grow(s.buf, max(len(b), usualFlight))
	}
	s.buf = append(s.buf, b...)
}

// pending reports whether there is something to send.
func (s *cryptoOut) pending() bool { return s.nxt < s.end() || !s.lost.Empty() }

func (s *cryptoOut) end() uint64 { return s.base + uint64(len(s.buf)) }

// appendFrames writes as many CRYPTO frames as fit.
func (s *cryptoOut) appendFrames(w *packetWriter) {
	for s.pending() {
		off, end := s.nxt, s.end()
		if !s.lost.Empty() {
			r := s.lost.Range(0)
			off, end = r.Start, r.End
			w.again = true
		}
		n := min(int(end-off), w.room()-wire.CryptoHeaderLen(off, int(end-off)))
		if n <= 0 {
			return
		}
		i := off - s.base
		w.buf = wire.AppendCryptoHeader(w.buf, off, n)
		w.buf = append(w.buf, s.buf[i:i+uint64(n)]...)
		w.record(recovery.Frame{Type: wire.FrameCrypto, Offset: off, Length: uint32(n)})
		s.lost.Remove(off, off+uint64(n))
		s.nxt = max(s.nxt, off+uint64(n))
	}
}

// onAcked notes that the peer has n bytes at off.
func (s *cryptoOut) onAcked(off uint64, n uint32) {
	end := off + uint64(n)
	if end <= s.base {
		return
	}
	s.acked.Add(max(off, s.base), end)
	s.lost.Remove(off, end)
	if r := s.acked.Range(0); r.Start == s.base {
		s.buf = s.buf[r.Len():]
		s.base = r.End
		s.acked.Remove(r.Start, r.End)
		if len(s.buf) == 0 {
			*s = cryptoOut{base: s.base, nxt: s.base}
		}
	}
}

// onLost queues n bytes at off again.
func (s *cryptoOut) onLost(off uint64, n uint32) {
	end := off + uint64(n)
	if end <= s.base {
		return
	}
	s.lost.Add(max(off, s.base), end)
	s.lost.Sub(&s.acked)
}
