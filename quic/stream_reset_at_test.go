package quic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// A stream of which 3000 bytes are written, 2000 of them sent, is reset at each of these sizes, from each state.
func TestResetAtInEachState(t *testing.T) {
	for _, d := range []Dir{Bidi, Uni} {
		for _, fin := range []bool{false, true} {
			for _, size := range []uint64{1, 1500, 2000, 2500, 3000, 9000} {
				t.Run(fmt.Sprintf("%v/fin %v/%d", d, fin, size), func(t *testing.T) {
					tt := newTable(t, Client)
					s := tt.mustOpen(d)
					tt.mustWrite(s, strings.Repeat("x", 3000), fin)
					first, second := tt.packet(1020), tt.packet(1020)
					sent := s.send.next
					if !s.ResetAt(7, size) {
						t.Fatal("the peer is said not to know it")
					}
					reliable := min(size, 3000)
					final := max(reliable, sent)
					frame := fmt.Sprintf("RESET_STREAM_AT %d code 7 size %d at %d", s.ID(), final, reliable)
					if _, err := s.TryWrite([]byte("x"), false); err != ErrStreamDone {
						t.Errorf("TryWrite: %v", err)
					}
					if held := heldBlocks(s); reliable == 1 && held > 3*1024+16*1024 {
						t.Errorf("%d bytes are held", held)
					}
					// The rest of what is to be delivered goes first, then the reset.
					var reset []sentFrame
					for tt.pending() {
						for _, f := range tt.packet(1020) {
							if f.stream.ID == uint64(s.ID()) && f.stream.Data != nil {
								if end := f.stream.Offset + uint64(len(f.stream.Data)); end > reliable || f.stream.Fin {
									t.Errorf("sent %s", f.text)
								}
								tt.ack([]sentFrame{f})
								continue
							}
							if f.text != frame {
								t.Fatalf("sent %s, want %s", f.text, frame)
							}
							reset = append(reset, f)
						}
					}
					if len(reset) != 1 {
						t.Fatalf("%d RESET_STREAM_AT", len(reset))
					}
					if uint64(s.send.credit.Used()) < final || tt.credit.Used() != final {
						t.Errorf("final size %d, credit used %d and %d", final, s.send.credit.Used(), tt.credit.Used())
					}
					// Lost frames are sent again, up to the reliable size.
					tt.lose(reset)
					tt.lose(first)
					tt.lose(second)
					resent := uint64(0)
					for tt.pending() {
						p := tt.packet(1020)
						for _, f := range p {
							resent += uint64(len(f.stream.Data))
						}
						tt.ack(p)
					}
					if want := min(reliable, sent); resent != want {
						t.Errorf("%d bytes were sent again, want %d", resent, want)
					}
					if s.send.state != sendDataRecvd || heldBlocks(s) != 0 || tt.unsent != 0 {
						t.Errorf("state %d, %d bytes held, %d unsent", s.send.state, heldBlocks(s), tt.unsent)
					}
				})
			}
		}
	}
}

func TestResetAtIsReduced(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 1000), true)
	data := tt.packet(1200)
	s.ResetAt(7, 800)
	high := tt.wantPacket("RESET_STREAM_AT 2 code 7 size 1000 at 800")
	s.ResetAt(8, 900)
	tt.wantPacket("")
	s.ResetAt(8, 300)
	low := tt.wantPacket("RESET_STREAM_AT 2 code 7 size 1000 at 300")
	// Of the frames only the one with the smallest size matters.
	tt.lose(high)
	tt.wantPacket("")
	tt.ack(high)
	tt.lose(data)
	data = tt.wantPacket("STREAM 2 0+300")
	tt.ack(data)
	tt.wantEvents("")
	tt.lose(low)
	low = tt.wantPacket("RESET_STREAM_AT 2 code 7 size 1000 at 300")
	s.Reset(9)
	reset := tt.wantPacket("RESET_STREAM 2 code 7 size 1000")
	tt.ack(low)
	tt.wantEvents("")
	tt.ack(reset)
	tt.wantEvents("closed 2")
}

// STOP_SENDING takes back that anything is delivered, but not what was said of the reset.
func TestResetAtAndStopSending(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 1000), false)
	tt.packet(1200)
	s.ResetAt(7, 800)
	tt.wantPacket("RESET_STREAM_AT 2 code 7 size 1000 at 800")
	tt.must(tt.handleStopSending(2, 9))
	tt.ack(tt.wantPacket("RESET_STREAM 2 code 7 size 1000"))
	if s.send.state != sendResetRecvd {
		t.Errorf("state %d", s.send.state)
	}
}

func TestResetAtUnknownToThePeer(t *testing.T) {
	limits := tableLimits
	limits.resetAt = false
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, "hello", false)
	if s.ResetAt(7, 3) {
		t.Fatal("the peer is said to know it")
	}
	tt.wantPacket("STREAM 2 0+5")

	// It was promised for early data, and turns out not to hold.
	tt = newTable(t, Client)
	s = tt.mustOpen(Uni)
	tt.mustWrite(s, "hello", false)
	tt.packet(1200)
	s.ResetAt(7, 3)
	tt.packet(1200)
	tt.replacePeerLimits(limits)
	tt.wantPacket("RESET_STREAM 2 code 7 size 5")
}

// What a reset cuts off is given back at once.
func TestResetAtReleasesLoans(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	var loans []*testLoan
	for i := range 5 {
		loans = append(loans, newLoan(t, 2000, byte(i)))
		tt.mustLend(s, loans[i], false)
	}
	s.ResetAt(7, 3000)
	for i, l := range loans {
		tt.wantReleased(l, i >= 2)
	}
	for tt.pending() {
		tt.ack(tt.packet(1200))
	}
	for _, l := range loans {
		tt.wantReleased(l, true)
	}
	tt.wantEvents("closed 2")
}

func TestReceiveResetAt(t *testing.T) {
	const id = 3 // the server's first unidirectional stream
	at := func(tt *tableTest, code, size, reliable int) {
		tt.Helper()
		tt.must(tt.handleResetAt(wire.ResetStreamAtFrame{ID: id, Code: uint64(code), FinalSize: uint64(size), ReliableSize: uint64(reliable)}))
	}
	ten := "0123456789"
	for _, c := range []struct {
		name string
		play func(tt *tableTest)
		want string // what is read before the reset
		open bool   // the reset is not to be read yet
	}{
		{"after the data", func(tt *tableTest) {
			tt.stream(id, 0, ten, false)
			at(tt, 7, 10, 4)
		}, "0123", false},
		{"before the data", func(tt *tableTest) {
			at(tt, 7, 10, 4)
			tt.stream(id, 0, ten, false)
		}, "0123", false},
		{"in the middle of the data", func(tt *tableTest) {
			tt.stream(id, 0, "01", false)
			at(tt, 7, 10, 4)
			tt.stream(id, 6, "6789", true)
			tt.stream(id, 2, "2345", false)
		}, "0123", false},
		{"not all is there", func(tt *tableTest) {
			tt.stream(id, 0, "01", false)
			at(tt, 7, 10, 4)
			tt.stream(id, 3, "3", false)
		}, "01", true},
		{"at the end", func(tt *tableTest) {
			at(tt, 7, 10, 10)
			tt.stream(id, 0, ten, true)
		}, ten, false},
		{"reduced", func(tt *tableTest) {
			tt.stream(id, 0, "0123", false)
			at(tt, 7, 10, 8)
			at(tt, 7, 10, 4)
			at(tt, 7, 10, 6)
		}, "0123", false},
		{"reduced to nothing", func(tt *tableTest) {
			tt.stream(id, 0, "0123", false)
			at(tt, 7, 10, 8)
			at(tt, 7, 10, 0)
		}, "", false},
		{"RESET_STREAM afterwards", func(tt *tableTest) {
			tt.stream(id, 0, "0123", false)
			at(tt, 7, 10, 8)
			tt.must(tt.handleReset(id, 7, 10))
		}, "", false},
		{"RESET_STREAM too late", func(tt *tableTest) {
			tt.stream(id, 0, "0123", false)
			at(tt, 7, 10, 4)
			tt.must(tt.handleReset(id, 7, 10))
		}, "0123", false},
	} {
		for _, peek := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/peek %v", c.name, peek), func(t *testing.T) {
				tt := newTable(t, Client)
				c.play(tt)
				s := tt.get(id)
				if s == nil {
					s = tt.events.head // done already, but for the telling
				}
				got := ""
				var err error
				for err == nil {
					if peek {
						var p []byte
						if p, err = s.Peek(); err == nil {
							got += string(p)
							s.Discard(100)
						}
					} else {
						p := make([]byte, 3)
						var n int
						n, err = s.TryRead(p)
						got += string(p[:n])
					}
				}
				if got != c.want {
					t.Errorf("read %q, want %q", got, c.want)
				}
				if c.open {
					if err != ErrWouldBlock {
						t.Errorf("then %v", err)
					}
					return
				}
				tt.wantStreamError(err, StreamError{Remote: true, Code: 7, Stream: id})
				if w := &tt.window; w.Consumed() != 10 || w.Received() != 10 {
					t.Errorf("the connection's window: %d received, %d consumed", w.Received(), w.Consumed())
				}
				if len(tt.streams) != 0 || len(tt.reliable) != 0 {
					t.Error("something is kept")
				}
			})
		}
	}
}

// What has been read already is read, whatever the reset says.
func TestReceiveResetAtTooLate(t *testing.T) {
	tt := newTable(t, Client)
	tt.stream(3, 0, "01234", false)
	s := tt.get(3)
	tt.wantRead(s, "01234", nil)
	tt.must(tt.handleResetAt(wire.ResetStreamAtFrame{ID: 3, Code: 7, FinalSize: 10, ReliableSize: 2}))
	_, err := s.TryRead(make([]byte, 10))
	tt.wantStreamError(err, StreamError{Remote: true, Code: 7, Stream: 3})
}

func TestReceiveResetAtStopped(t *testing.T) {
	tt := newTable(t, Client)
	tt.stream(3, 0, "01234", false)
	s := tt.get(3)
	s.StopSending(1)
	stop := tt.wantPacket("STOP_SENDING 3 code 1")
	tt.must(tt.handleResetAt(wire.ResetStreamAtFrame{ID: 3, Code: 7, FinalSize: 10, ReliableSize: 8}))
	tt.ack(stop)
	if len(tt.streams) != 0 || len(tt.reliable) != 0 || tt.window.Consumed() != 10 {
		t.Errorf("%d streams left, %d bytes consumed", len(tt.streams), tt.window.Consumed())
	}
}

func TestBadResetAt(t *testing.T) {
	at := func(tt *tableTest, code, size, reliable uint64) error {
		return tt.handleResetAt(wire.ResetStreamAtFrame{ID: 3, Code: code, FinalSize: size, ReliableSize: reliable})
	}
	for _, c := range []struct {
		name string
		play func(tt *tableTest) error
		want TransportErrorCode
	}{
		{"another code", func(tt *tableTest) error { at(tt, 7, 10, 5); return at(tt, 8, 10, 5) }, StreamStateError},
		{"another code in RESET_STREAM", func(tt *tableTest) error { at(tt, 7, 10, 5); return tt.handleReset(3, 8, 10) }, StreamStateError},
		{"another final size", func(tt *tableTest) error { at(tt, 7, 10, 5); return at(tt, 7, 11, 5) }, FinalSizeError},
		{"another final size in STREAM", func(tt *tableTest) error {
			at(tt, 7, 10, 5)
			return tt.handleStream(tt.now, 3, 0, make([]byte, 9), true)
		}, FinalSizeError},
		{"data beyond", func(tt *tableTest) error {
			at(tt, 7, 10, 5)
			return tt.handleStream(tt.now, 3, 5, make([]byte, 6), false)
		}, FinalSizeError},
		{"final size below the data", func(tt *tableTest) error { tt.stream(3, 0, "0123456789", false); return at(tt, 7, 9, 5) }, FinalSizeError},
		{"beyond the stream's window", func(tt *tableTest) error { return at(tt, 7, 10_001, 5) }, FlowControlError},
	} {
		tt := newTable(t, Client)
		tt.wantCode(c.play(tt), c.want, "%s", c.name)
	}
}

// Both sides say that they take such resets, and do.
func TestResetAtBetweenConnections(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		p := newTestPair(t)
		p.establish()
		s, err := p.conn[side].OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.TryWrite(testBytes(100_000), false)
		if !s.ResetAt(7, 60_000) {
			t.Fatal("the peer does not know RESET_STREAM_AT")
		}
		var got []byte
		p.run("the reset", func() bool {
			r := p.conn[side.Peer()].streams.get(s.ID())
			if r == nil {
				return len(got) > 0
			}
			buf := make([]byte, 1<<16)
			for {
				n, err := r.TryRead(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					return err != ErrWouldBlock
				}
			}
		})
		if string(got) != string(testBytes(60_000)) {
			t.Errorf("%v: %d bytes arrived, want the first 60,000", side, len(got))
		}
		p.run("the end", func() bool { return len(p.conn[side].streams.streams) == 0 })
	}
}
