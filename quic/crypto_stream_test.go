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
