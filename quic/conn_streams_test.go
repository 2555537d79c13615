package quic

import (
	"errors"
	"testing"
	"time"
)

// RFC 9000, Section 4.1: a sender that waits for a reader who pauses for longer than the idle timeout does not lose the
// connection, whichever limit it waits for; one that has nothing to send does.
func TestBlockedSenderKeepsTheConnectionAlive(t *testing.T) {
	for _, c := range []struct {
		name         string
		stream, conn int
	}{
		{"stream", 10_000, 1 << 20},
		{"connection", 1 << 20, 10_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTestPair(t, func(p *testPair) {
				cfg := p.cfg[Client]
				cfg.StreamWindow, cfg.MaxStreamWindow, cfg.ConnWindow, cfg.MaxConnWindow = c.stream, c.stream, c.conn, c.conn
				cfg.IdleTimeout = 5 * time.Second
			})
			p.establish()
			s, err := p.conn[Server].OpenStream(Uni)
			if err != nil {
				t.Fatal(err)
			}
			n, err := s.TryWrite(make([]byte, 50_000), false)
			if err != nil {
				t.Fatal(err)
			}
			p.idle(time.Minute)
			if err := errors.Join(p.err(Client), p.err(Server)); err != nil {
				t.Fatalf("while the reader pauses: %v", err)
			}
			var r *Stream
			for _, e := range p.events[Client] {
				if e.Kind == EventStreamOpened {
					r = e.Stream
				}
			}
			buf := make([]byte, 60_000)
			read := 0
			p.run("reading on", func() bool {
				m, err := r.TryRead(buf)
				if read += m; err != nil && err != ErrWouldBlock {
					t.Fatal(err)
				}
				return read == n
			})
			s.Reset(0)
			p.idle(time.Minute)
			if p.err(Client) != ErrIdleTimeout || p.err(Server) != ErrIdleTimeout {
				t.Errorf("with nothing to send: %v and %v, want the idle timeout", p.err(Client), p.err(Server))
			}
		})
	}
}

// RFC 9000, Section 3.2: a stream exists for the peer as soon as any frame names it, so that the peer may write first.
func TestAnnounce(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		p := newTestPair(t, func(*testPair) {})
		p.establish()
		s, err := p.conn[side].OpenStream(Bidi)
		if err != nil {
			t.Fatal(err)
		}
		uni, err := p.conn[side].OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		uni.Announce() // cannot be: the peer has nothing to write
		s.Announce()
		p.idle(time.Second)
		var opened []StreamID
		for _, e := range p.events[side.Peer()] {
			if e.Kind == EventStreamOpened {
				opened = append(opened, e.Stream.ID())
				e.Stream.Announce() // not ours: does nothing
				if n, err := e.Stream.TryWrite([]byte("hello"), true); n != 5 || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		if len(opened) != 1 || opened[0] != s.ID() {
			t.Fatalf("%v: the peer heard of %v", side, opened)
		}
		p.idle(time.Second)
		buf := make([]byte, 10)
		if n, err := s.TryRead(buf); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("%v: %q, %v", side, buf[:n], err)
		}
	}
}
