package http3_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// rawClient drains the events of a connection of which the test writes the bytes of HTTP/3 by hand.
type rawClient struct{ engine.Base }

func (rawClient) ProcessReads(s *engine.Session) error {
	for s.Conn().NextEvent().Kind != quic.EventNone {
	}
	return nil
}

// A client whose requests begin well and go on so that the server has to reset them, before their handlers are done, gains no more
// handlers than its streams allow twice (CVE-2025-8671).
func TestServerMadeResetsAreBounded(t *testing.T) {
	const streams = 10
	release := make(chan struct{})
	started := make(chan struct{}, 1)
	var running, most atomic.Int32
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			return
		}
		select {
		case started <- struct{}{}:
		default:
		}
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
	}), func(s *http3.Server, _ *http3.Transport) { s.QUIC = &quic.Config{MaxBidiStreams: streams} })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := engine.Dial(ctx, s.addr, &engine.DialConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{RootCAs: testRoots, ServerName: "127.0.0.1", NextProtos: []string{h3.NextProto}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return rawClient{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	fields := []h3.Field{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: s.addr}, {Name: ":path", Value: "/"},
		{Name: "content-length", Value: "1"},
	}
	block := qpack.NewEncoder(0).Encode(nil, 0, fields)
	request := append([]byte{1, 0x40, byte(len(block))}, block...)
	excess := []byte{0, 5, 'l', 'a', 'r', 'g', 'e'} // DATA beyond the content-length: malformed (RFC 9114, Section 4.1.2)
	opened := 0
	for turn := range 100 {
		var begun []*quic.Stream
		err := conn.Do(func(session *engine.Session) {
			for {
				st, err := session.Conn().OpenStream(quic.Bidi)
				if err != nil {
					return
				}
				st.TryWrite(request, false)
				begun = append(begun, st)
			}
		})
		if err != nil {
			break // the server has had enough
		}
		opened += len(begun)
		if turn == 0 {
			select {
			case <-started:
			case <-ctx.Done():
				t.Fatal("no request reached its handler")
			}
		}
		conn.Do(func(*engine.Session) {
			for _, st := range begun {
				st.TryWrite(excess, false)
			}
		})
		s.get(t, "/") // meanwhile the server does its part
	}
	conn.CloseWithError(uint64(h3.NoError), "")
	if n := most.Load(); n > 2*streams {
		t.Errorf("%d handlers ran at once", n)
	}
	t.Logf("%d streams, %d handlers at once", opened, most.Load())
	close(release)
	s.get(t, "/")
}
