package http3_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// TestServerConn asks a server's connection what it is, from the first moment on, and closes it.
func TestServerConn(t *testing.T) {
	conns := make(chan *http3.ServerConn, 1)
	s := newSite(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(s *http3.Server, _ *http3.Transport) {
		s.ConnContext = func(ctx context.Context, c *http3.ServerConn) context.Context {
			if got := c.ConnectionState().NegotiatedProtocol; got != http3.NextProto || c.Err() != nil || c.Engine() == nil {
				t.Errorf("in ConnContext: protocol %q, %v, %v", got, c.Err(), c.Engine())
			}
			conns <- c
			return ctx
		}
	})
	s.get(t, "/")
	c := <-conns
	if state := c.ConnectionState(); !state.HandshakeComplete || c.Version() != quic.Version1 || c.Stats().PacketsReceived == 0 {
		t.Errorf("handshake complete %v, version %v, %d packets", state.HandshakeComplete, c.Version(), c.Stats().PacketsReceived)
	}
	select {
	case <-c.Done():
		t.Error("done before the end")
	default:
	}
	c.Close()
	<-c.Done()
	var e *h3.Error
	if err := c.Err(); !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) || e.Remote || e.Code != h3.NoError {
		t.Errorf("ended with %v", err)
	}
	s.get(t, "/") // the client makes another
	if next := <-conns; next == c {
		t.Error("the connection was used again")
	}
}
