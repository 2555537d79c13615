package http3_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
)

// HTTP/3 and another protocol on one address, each with its own application.
func TestProtocols(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	greet := func(c *quicnet.Conn) error {
		go func() {
			s, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			name, _ := io.ReadAll(s)
			io.WriteString(s, "Hello "+string(name))
			s.Close()
		}()
		return nil
	}
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.NegotiatedProtocol)
	}), func(s *http3.Server, _ *http3.Transport) {
		s.Protocols = map[string]engine.NewApplicationFunc{
			"greeting": func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return quicnet.NewDriver(greet), nil },
		}
	})

	res, err := s.client.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || string(body) != "h3" {
		t.Errorf("HTTP/3 answers %q, %v", body, err)
	}

	cfg := &quicnet.DialConfig{QUIC: &quic.Config{TLS: &tls.Config{RootCAs: testRoots, NextProtos: []string{"greeting"}}}}
	c, err := quicnet.Dial(ctx, s.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stream, err := c.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stream, "Ann")
	stream.CloseWrite()
	if got, err := io.ReadAll(stream); err != nil || string(got) != "Hello Ann" {
		t.Errorf("the other protocol answers %q, %v", got, err)
	}

	// Who offers both gets HTTP/3; who offers neither gets nothing.
	for _, x := range []struct {
		offer []string
		want  string
	}{{[]string{"greeting", "h3"}, "h3"}, {[]string{"smoke signals"}, ""}} {
		q := &quic.Config{TLS: &tls.Config{RootCAs: testRoots, NextProtos: x.offer}}
		c, err := engine.Dial(ctx, s.addr, &engine.DialConfig{QUIC: q, NewApplication: idleApplication})
		if x.want == "" {
			if err == nil {
				t.Errorf("%v: connected", x.offer)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Audit().Protocol; got != x.want {
			t.Errorf("%v: negotiated %q", x.offer, got)
		}
		c.Close()
		<-c.Endpoint().Done()
	}
}

func idleApplication(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return engine.Base{}, nil }
