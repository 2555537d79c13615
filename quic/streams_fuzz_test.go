package quic

import (
	"errors"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// fuzzInput reads small numbers off the fuzzer's bytes; past the end, zeros.
type fuzzInput []byte

func (in *fuzzInput) byte() int {
	if len(*in) == 0 {
		return 0
	}
	b := (*in)[0]
	*in = (*in)[1:]
	return int(b)
}

// offset is mostly small, now and then near a window's or an integer's end.
func (in *fuzzInput) offset() uint64 {
	switch b := in.byte(); {
	case b < 200:
		return uint64(b * in.byte())
	case b < 240:
		return 10_000 - uint64(in.byte())
	case b < 250:
		return uint64(b) << 12
	default:
		return 1<<62 - 1 - uint64(in.byte())
	}
}

// FuzzStreams plays frames of a peer that need not make sense, and calls of an application, to a table. Whatever comes,
// the table ends the connection with an error that has a code or keeps within its bounds.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{0, 0, 0, 10, 5, 0, 1, 2, 3})
	f.Add([]byte{1, 4, 0, 2, 200, 9, 0, 1, 4, 2, 0, 0, 0, 1, 12, 3, 13, 1, 14})
	f.Add([]byte{8, 0, 9, 0, 100, 1, 15, 100, 16, 0, 17, 0, 3, 0, 1, 15, 255, 16, 0})
	f.Add([]byte{0, 3, 199, 50, 200, 1, 0, 3, 199, 49, 90, 0, 10, 0, 11, 0, 4, 3, 1, 18, 15, 3, 16, 1})
	f.Add([]byte{0, 8, 1, 9, 0, 100, 1, 21, 0, 150, 15, 100, 21, 0, 50, 17, 0, 15, 100, 20, 1, 150, 100, 0, 1, 0, 9, 1, 10, 1, 200})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			t.Skip("longer than what says anything new")
		}
		side := Client
		in := fuzzInput(data)
		if in.byte()&1 != 0 {
			side = Server
		}
		limits := streamLimits{maxData: 20_000, bidiLocal: 6000, bidiRemote: 5000, uni: 4000, maxStreams: [2]uint64{5, 5}, resetAt: true}
		tt := newTableWith(t, side, tableConfig, limits)
		var streams []*Stream
		var flight []sentFrame
		buf := make([]byte, 4096)
		for len(in) > 0 && tt.err == nil {
			var err error
			op := in.byte() % 22
			id := uint64(in.byte() % 48)
			var s *Stream
			if len(streams) > 0 {
				s = streams[int(id)%len(streams)]
			}
			switch op {
			case 0, 1:
				err = tt.handleStream(tt.now, id, in.offset(), buf[:in.byte()*16], in.byte()&7 == 0)
			case 2:
				err = tt.handleReset(id, 1, in.offset())
			case 3:
				err = tt.handleStopSending(id, 2)
			case 4:
				err = tt.handleMaxStreamData(id, in.offset())
			case 5:
				err = tt.handleMaxData(in.offset())
			case 6:
				err = tt.handleMaxStreams(Dir(id&1), in.offset())
			case 7:
				err = errors.Join(tt.handleDataBlocked(in.offset()), tt.handleStreamDataBlocked(id, in.offset()),
					tt.handleStreamsBlocked(Dir(id&1), in.offset()))
			case 8:
				if s, err := tt.open(Dir(id & 1)); err == nil {
					streams = append(streams, s)
				}
			case 9:
				if s != nil {
					s.TryWrite(buf[:in.byte()*16], in.byte()&7 == 0)
				}
			case 10:
				if s != nil {
					s.TryRead(buf[:in.byte()*16])
				}
			case 11:
				if s != nil {
					if p, err := s.Peek(); err == nil && len(p) == 0 {
						t.Fatal("Peek returned nothing and no error")
					}
					s.Discard(in.byte() * 16)
				}
			case 12:
				if s != nil {
					s.Reset(3)
				}
			case 20:
				f := wire.ResetStreamAtFrame{ID: id, Code: 1, FinalSize: in.offset()}
				f.ReliableSize = min(in.offset(), f.FinalSize)
				err = tt.handleResetAt(f)
			case 21:
				if s != nil {
					s.ResetAt(3, in.offset())
				}
			case 13:
				if s != nil {
					s.StopSending(4)
				}
			case 14:
				if s != nil {
					s.SetPriority(uint8(in.byte()), id&1 != 0)
				}
			case 15:
				size := in.byte() * 8
				w := &packetWriter{buf: make([]byte, 0, size), limit: size, space: recovery.AppData, rec: &tt.rec}
				tt.appendFrames(w, tt.now)
				tt.rec.Abandon(recovery.AppData)
				if len(w.buf) > size {
					t.Fatal("a packet is too long")
				}
				flight = append(flight, parseFrames(t, w.buf)...)
			case 16, 17:
				if len(flight) == 0 {
					break
				}
				i := in.byte() % len(flight)
				if op == 16 {
					tt.frameAcked(flight[i].record)
				} else {
					tt.frameLost(flight[i].record)
				}
				if id&1 == 0 {
					flight = append(flight[:i], flight[i+1:]...)
				}
			case 18:
				for {
					e, ok := tt.nextEvent()
					if !ok {
						break
					}
					if e.Kind == EventStreamOpened {
						streams = append(streams, e.Stream)
					}
				}
			case 19:
				tt.now = tt.now.Add(time.Duration(in.byte()) * time.Millisecond)
			}
			if err != nil {
				var te *TransportError
				if !errors.As(err, &te) || te.Code == NoError {
					t.Fatalf("error without a code: %v", err)
				}
				tt.close(err)
			}
			tt.checkBounds()
		}
		if tt.err == nil {
			for range 100_000 {
				if !tt.pending() {
					break
				}
				if len(tt.packet(1200)) == 0 {
					t.Fatal("something is pending, but nothing was sent")
				}
			}
			if tt.pending() {
				t.Fatal("sending never ends")
			}
		}
		tt.close(errors.New("done"))
		for _, s := range streams {
			if heldBlocks(s) != 0 {
				t.Fatalf("stream %d holds memory after the connection's end", s.ID())
			}
		}
	})
}
