package h3driver

import (
	"context"
	"errors"
	"io"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// UseDatagrams says that the request has a use for HTTP datagrams though it is no extended CONNECT: see h3.Stream. It must be
// called from OnEvent, for EventHeaders.
func (s *Stream) UseDatagrams() {
	if s.h != nil {
		s.h.UseDatagrams()
	}
}

// SendDatagram sends a copy of p as an HTTP datagram of the request (RFC 9297): once and unreliably, after the header section
// and before the end of our message. While QUIC's queue of datagrams is full it waits, until ctx ends. Errors: those of
// h3.Stream.TrySendDatagram.
func (s *Stream) SendDatagram(ctx context.Context, p []byte) error {
	return s.tryDatagram(ctx, &s.d.datagramRoom, func(h *h3.Stream) error { return h.TrySendDatagram(p) })
}

// ReceiveDatagram copies the next HTTP datagram of the request to p and returns its length. It waits for one, until ctx ends.
// A datagram longer than p is lost, and the error io.ErrShortBuffer. After the end of the peer's message it returns what Read
// does, and h3.ErrSequence before the stream was opened.
func (s *Stream) ReceiveDatagram(ctx context.Context, p []byte) (n int, err error) {
	err = s.tryDatagram(ctx, &s.datagrams, func(h *h3.Stream) error {
		d, err := h.TryReceiveDatagram()
		if n = copy(p, d); n < len(d) {
			return io.ErrShortBuffer
		}
		if errors.Is(err, quic.ErrWouldBlock) {
			// HTTP/3 hears of CancelRead later in the step, and nothing happens then.
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.in.Err != nil {
				return s.in.Err
			}
		}
		return err
	})
	return n, err
}

// MaxDatagramLen returns the length in bytes of the longest datagram that SendDatagram takes now, 0 if the peer takes none. It
// changes with the path.
func (s *Stream) MaxDatagramLen() (n int) {
	s.do(func(h *h3.Stream) { n = h.MaxDatagramLen() })
	return n
}

func (s *Stream) tryDatagram(ctx context.Context, g *blocking.Gate, try func(*h3.Stream) error) error {
	return blocking.Retry(ctx, s.do, &s.d.mu, g, quic.ErrWouldBlock, try)
}

// do runs f in the connection's step, or returns why it can't: h3.ErrSequence while the stream is not opened.
func (s *Stream) do(f func(*h3.Stream)) error {
	over := true
	if session := s.d.session.Load(); session != nil {
		session.Connection().Do(func(*engine.Session) {
			if over = s.h == nil; !over {
				f(s.h)
			}
		})
	}
	if !over {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.in.Err != nil:
		return s.in.Err
	case !s.opened && !s.closed:
		return h3.ErrSequence
	}
	return errStreamOver
}

// openGates has those try again who wait for datagrams of s, or for room for them.
func (s *Stream) openGates() {
	s.d.mu.Lock()
	s.datagrams.Open()
	s.d.mu.Unlock()
}
