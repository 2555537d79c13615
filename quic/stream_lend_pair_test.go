package quic

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// lender sends a stream in pieces of any size, all of them lent. What it gets back it spoils at once: sent again, it would
// arrive.
type lender struct {
	t       testing.TB
	s       *Stream
	rng     *rand.Rand
	sent    int
	size    int
	loans   []*lenderLoan
	out     int // bytes that are lent
	mostOut int
}

type lenderLoan struct {
	l        *lender
	data     []byte
	taken    int // bytes of data
	released int
}

func (o *lenderLoan) Release() {
	if o.released++; o.released > 1 {
		o.l.t.Error("memory given back twice")
	}
	for i := range o.data {
		o.data[i] ^= 0xff
	}
	o.l.out -= o.taken
}

func lentByte(i int) byte { return byte(i * 31 >> 3) }

// send lends as much as is taken.
func (l *lender) send() {
	l.t.Helper()
	for l.sent < l.size {
		b := make([]byte, min(1+l.rng.IntN(40_000), l.size-l.sent))
		for i := range b {
			b[i] = lentByte(l.sent + i)
		}
		o := &lenderLoan{l: l, data: b}
		n, err := l.s.TryLend(b, l.sent+len(b) == l.size, o)
		if n > 0 {
			l.loans = append(l.loans, o)
		}
		if o.taken = n; o.released == 0 {
			l.out += n
		}
		l.sent += n
		l.mostOut = max(l.mostOut, l.out)
		if n < len(b) {
			if err != nil && err != ErrWouldBlock {
				l.t.Fatal(err)
			}
			return
		}
	}
}

func (l *lender) wantAllBack() {
	l.t.Helper()
	if len(l.loans) == 0 {
		l.t.Error("nothing was lent")
	}
	for i, o := range l.loans {
		if o.released != 1 {
			l.t.Errorf("loan %d of %d, %d bytes, was given back %d times", i, len(l.loans), len(o.data), o.released)
		}
	}
}

// However a network treats them, bytes that are lent arrive as they were, and nothing is sent of what was given back.
func TestLendOverBadNetworks(t *testing.T) {
	const size, window = 2_000_000, 256 << 10
	for _, side := range []Side{Client, Server} {
		for _, what := range []string{"losses", "key updates", "a new address", "a new path"} {
			t.Run(fmt.Sprint(what, ", ", side, " sends"), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(side), uint64(len(what))))
				p := newTestPair(t, func(p *testPair) {
					for _, cfg := range p.cfg {
						cfg.StreamWindow, cfg.MaxStreamWindow = window, window
					}
				})
				p.establish()
				p.idle(time.Second)
				p.filter = func(Side, []byte) bool { return rng.IntN(20) > 0 }
				p.delayOf = func() time.Duration { return time.Duration(rng.IntN(12_000)) * time.Microsecond }
				p.events = [2][]Event{}
				c := p.conn[side]
				s, err := c.OpenStream(Uni)
				if err != nil {
					t.Fatal(err)
				}
				l := &lender{t: t, s: s, rng: rng, size: size}
				var r *Stream
				got, done, updates, backlog := 0, false, 0, 0
				moved := false
				in := make([]byte, 64<<10)
				p.run("a transfer", func() bool {
					l.send()
					backlog = max(backlog, c.streams.sendLimit)
					for _, e := range p.events[side.Peer()] {
						if e.Kind == EventStreamOpened {
							r = e.Stream
						}
					}
					p.events = [2][]Event{}
					for r != nil && !done {
						n, err := r.TryRead(in)
						for i, b := range in[:n] {
							if b != lentByte(got+i) {
								t.Fatalf("byte %d is wrong", got+i)
							}
						}
						got += n
						if done = err == io.EOF; !done && err == ErrWouldBlock {
							break
						} else if !done && err != nil {
							t.Fatal(err)
						}
					}
					if what == "key updates" && got/400_000 > updates && c.InitiateKeyUpdate() {
						updates++
					}
					if got > size/2 && !moved {
						moved = true
						switch what {
						case "a new address":
							p.rebind(reboundAddr)
						case "a new path":
							if err := p.conn[Client].Migrate(p.now, movedAddr); err != nil {
								t.Fatal(err)
							}
						}
					}
					return done && l.out == 0
				})
				if got != size {
					t.Errorf("%d bytes arrived", got)
				}
				l.wantAllBack()
				if bound := backlog + 2*window; l.mostOut > bound {
					t.Errorf("%d bytes were lent at a time, more than %d", l.mostOut, bound)
				}
				if what == "key updates" && updates < 2 {
					t.Errorf("%d key updates", updates)
				}
				if c.Stats().PacketsLost == 0 {
					t.Error("nothing was lost")
				}
			})
		}
	}
}

// However a stream or a connection ends, with some of what was lent sent and some acknowledged, all of it comes back.
func TestLoansEndWithTheConnection(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(p *testPair, c, peer *Conn, s, r *Stream)
	}{
		{"Reset", func(_ *testPair, _, _ *Conn, s, _ *Stream) { s.Reset(7) }},
		{"ResetAt", func(_ *testPair, _, _ *Conn, s, _ *Stream) { s.ResetAt(7, 30_000) }},
		{"StopSending", func(_ *testPair, _, _ *Conn, _, r *Stream) { r.StopSending(7) }},
		{"Close", func(p *testPair, c, _ *Conn, _, _ *Stream) { c.Close(p.now, nil) }},
		{"Close of the peer", func(p *testPair, _, peer *Conn, _, _ *Stream) { peer.Close(p.now, nil) }},
		{"a stateless reset", func(p *testPair, c, _ *Conn, _, _ *Stream) {
			token := c.peer.active[0].token
			c.Receive(p.now, Inbound{Path: c.Path(), Received: p.now, Data: append(make([]byte, 30), token[:]...)})
			if !errors.Is(c.Err(), ErrStatelessReset) {
				p.t.Errorf("the connection's error is %v", c.Err())
			}
		}},
		{"silence", func(p *testPair, _, _ *Conn, _, _ *Stream) { p.filter = func(Side, []byte) bool { return false } }},
	} {
		for _, side := range []Side{Client, Server} {
			if side == Server && end.name == "a stateless reset" {
				continue // clients have no tokens to give with their first connection ID
			}
			t.Run(fmt.Sprint(end.name, ", ", side, " sends"), func(t *testing.T) {
				p := newTestPair(t)
				p.establish()
				p.idle(time.Second)
				p.events = [2][]Event{}
				c, peer := p.conn[side], p.conn[side.Peer()]
				s, err := c.OpenStream(Uni)
				if err != nil {
					t.Fatal(err)
				}
				l := &lender{t: t, s: s, rng: rand.New(rand.NewPCG(1, 2)), size: 1 << 20}
				l.send()
				var r *Stream
				p.run("some acknowledgments", func() bool {
					for _, e := range p.events[side.Peer()] {
						if e.Kind == EventStreamOpened {
							r = e.Stream
						}
					}
					return r != nil && s.send.buf.acked > 20_000
				})
				if s.send.buf.acked == uint64(l.sent) {
					t.Fatal("all is acknowledged")
				}
				end.do(p, c, peer, s, r)
				p.idle(time.Minute)
				l.wantAllBack()
			})
		}
	}
}
