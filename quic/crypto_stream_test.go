package quic

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Messages arrive whole whatever becomes of the frames.
func TestCryptoStream(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var rec recovery.Recovery
		rec.Init(recovery.Config{Controller: congestion.NewNewReno(1200), MaxDatagram: 1200})
		var out cryptoOut
		var in cryptoIn
		var want, got []byte
		type sent struct{ off, n uint64 }
		var flight []sent
		for len(want) < 20_000 || out.base < uint64(len(want)) {
			if len(want) < 20_000 && r.IntN(3) == 0 {
				b := make([]byte, r.IntN(3000))
				for i := range b {
					b[i] = byte(r.Uint32())
				}
				want = append(want, b...)
				out.write(b)
			}
			w := packetWriter{buf: make([]byte, 0, 1200), limit: 40 + r.IntN(1100), space: recovery.AppData, rec: &rec}
			out.appendFrames(&w)
			if len(w.buf) > w.limit {
				t.Fatalf("%d bytes in a packet of %d", len(w.buf), w.limit)
			}
			rec.Abandon(recovery.Initial)
			for b := w.buf; len(b) > 0; {
				f, n := wire.ParseCrypto(b)
				if n == 0 {
					t.Fatal("malformed frame")
				}
				b = b[n:]
				flight = append(flight, sent{f.Offset, uint64(len(f.Data))})
				if r.IntN(3) > 0 && !in.add(f.Offset, f.Data) {
					t.Fatal("too far ahead")
				} else if r.IntN(3) == 0 {
					in.add(f.Offset, f.Data)
				}
				for b := in.next(); len(b) > 0; b = in.next() {
					n := 1 + r.IntN(len(b))
					got = append(got, b[:n]...)
					in.consume(n)
				}
			}
			for len(flight) > 0 && r.IntN(2) == 0 {
				i := r.IntN(len(flight))
				f := flight[i]
				flight = append(flight[:i], flight[i+1:]...)
				if f.off+f.n <= in.base {
					out.onAcked(f.off, uint32(f.n))
				} else {
					out.onLost(f.off, uint32(f.n))
				}
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes arrived, want %d", seed, len(got), len(want))
		}
		if in.pending() || out.pending() || out.buf != nil || in.buf != nil {
			t.Fatalf("seed %d: something is left", seed)
		}
	}
}

// RFC 9000, Section 7.5 (MUST 1, 2).
func TestCryptoStreamBound(t *testing.T) {
	var in cryptoIn
	if !in.add(maxCryptoBuffer-1, []byte{1}) {
		t.Error("refused within the bound")
	}
	if in.add(maxCryptoBuffer, []byte{1}) {
		t.Error("accepted beyond the bound")
	}
	if n := cap(in.buf); n > 2*maxCryptoBuffer {
		t.Errorf("%d bytes held", n)
	}
	in = cryptoIn{}
	gaps := uint64(0)
	for in.add(100*gaps+1, []byte{1}) {
		gaps++
	}
	if gaps != maxCryptoGaps {
		t.Errorf("%d gaps, want %d", gaps, maxCryptoGaps)
	}
	// However small the pieces are, some data always has room.
	in = cryptoIn{}
	for at := uint64(1); at < minCryptoBuffer; at += 2 {
		if !in.add(at, []byte{1}) {
			t.Fatalf("the byte at %d was refused", at)
		}
	}
}

// CRYPTO frames in any order, as often as one likes: what can be consumed is what was sent, in order and once, and no more is held
// than the bound.
func FuzzCryptoStream(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 10, 0, 10, 10, 5})
	f.Add([]byte{1, 1, 0, 3, 1, 0, 5, 1, 0, 0, 6, 4, 2, 9, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		var in cryptoIn
		sent := func(off, n uint64) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte((off + uint64(i)) * 7)
			}
			return b
		}
		received := map[uint64]bool{}
		consumed := uint64(0)
		for ; len(script) >= 3; script = script[3:] {
			off, n := consumed/2+uint64(script[0])*uint64(1+script[2]>>4), uint64(script[1])
			if in.add(off, sent(off, n)) {
				for i := range n {
					received[off+i] = true
				}
			}
			if cap(in.buf) > 2*maxCryptoBuffer || in.have.Len() > maxCryptoGaps+1 {
				t.Fatalf("%d bytes and %d pieces held", cap(in.buf), in.have.Len())
			}
			ready := in.next()
			for i, b := range ready {
				if at := consumed + uint64(i); !received[at] || b != byte(at*7) {
					t.Fatalf("the byte at %d is %d, received %v", at, b, received[at])
				}
			}
			if len(ready) == 0 && n > 0 && received[consumed] {
				t.Fatalf("the byte at %d does not come", consumed)
			}
			k := min(len(ready), int(script[2]))
			if k > 0 {
				in.consume(k)
				consumed += uint64(k)
			}
		}
	})
}
