package prometheus_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/metrics/prometheus"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// certificate returns one for localhost and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// figures are what a scrape found, by name and labels as Prometheus writes them.
type figures map[string]float64

// scrape fetches the figures as Prometheus does.
func scrape(t *testing.T, url string) figures {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	found := make(figures)
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "} ")
		if ok {
			name += "}"
		} else if name, value, ok = strings.Cut(lines.Text(), " "); !ok {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			found[name] = v
		}
	}
	return found
}

// upload is an application that sends some bytes and closes when its peer has read them; sink is the peer.
type upload struct {
	engine.Base
	unsent []byte
	stream *quic.Stream
}

func (a *upload) ProcessWrites(s *engine.Session) (err error) {
	if a.stream == nil {
		if a.stream, err = s.Conn().OpenStream(quic.Bidi); err != nil {
			return err
		}
	}
	n, _ := a.stream.TryWrite(a.unsent, true)
	a.unsent = a.unsent[n:]
	return nil
}

func (a *upload) ProcessReads(s *engine.Session) error {
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		if ev.Kind == quic.EventStreamReadable {
			if _, err := ev.Stream.Peek(); err == io.EOF {
				return &quic.ApplicationError{Code: 3}
			}
		}
	}
	return nil
}

type sink struct{ engine.Base }

func (sink) ProcessReads(s *engine.Session) error {
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		if ev.Kind != quic.EventStreamReadable {
			continue
		}
		for {
			b, err := ev.Stream.Peek()
			if err == io.EOF {
				ev.Stream.TryWrite(nil, true)
			}
			if err != nil {
				break
			}
			ev.Stream.Discard(len(b))
		}
	}
	return nil
}

// What a server and its clients did is what Prometheus finds.
func TestScrape(t *testing.T) {
	m := prometheus.New(prometheus.Options{Labels: prom.Labels{"listener": "test"}, ByNetwork: true})
	registry := prom.NewPedanticRegistry()
	registry.MustRegister(m)
	web := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer web.Close()

	cert, roots := certificate(t)
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return sink{}, nil },
		Endpoint:       engine.EndpointConfig{Metrics: m},
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := engine.NewEndpoint(&engine.EndpointConfig{Metrics: m}, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	dial := func(cfg *tls.Config, n int) (*engine.Connection, error) {
		return client.Dial(ctx, l.Addr(), &engine.DialConfig{
			QUIC: &quic.Config{TLS: cfg},
			NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
				return &upload{unsent: make([]byte, n)}, nil
			},
		})
	}
	good := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"test"}}
	for range 3 {
		c, err := dial(good, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		<-c.Done()
	}
	bad := good.Clone()
	bad.ServerName = "elsewhere"
	if _, err := dial(bad, 0); err == nil {
		t.Fatal("connected to somebody else")
	}
	for _, c := range []io.Closer{client, l} { // the clients' closing periods end here
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}

	got := scrape(t, web.URL)
	want := figures{
		`dunlin_connections{listener="test",side="server"}`:                                                         0,
		`dunlin_connections_opened_total{listener="test",side="server"}`:                                            4,
		`dunlin_connections_opened_total{listener="test",side="client"}`:                                            4,
		`dunlin_handshake_seconds_count{listener="test",side="server"}`:                                             3,
		`dunlin_initials_accepted_total{listener="test"}`:                                                           4,
		`dunlin_handshakes_failed_total{cause="tls",listener="test",side="client"}`:                                 1,
		`dunlin_closes_total{by="peer",code="3",layer="application",listener="test",protocol="test",side="server"}`: 3,
		`dunlin_closes_total{by="us",code="3",layer="application",listener="test",protocol="test",side="client"}`:   3,
		`dunlin_connection_max_streams_count{listener="test"}`:                                                      6,
		`dunlin_network_initials_accepted_total{listener="test",network="127.0.0.0/20"}`:                            4,
		`dunlin_bandwidth_in_use_bits_per_second{listener="test"}`:                                                  0,
		`dunlin_connection_lifetime_seconds_count{listener="test",side="server"}`:                                   4,
	}
	for name, n := range want {
		if v, ok := got[name]; !ok || v != n {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, n)
		}
	}
	for _, name := range []string{
		`dunlin_step_seconds_count{listener="test"}`, `dunlin_handshake_stage_seconds_count{listener="test",stage="queue"}`,
		`dunlin_handshake_stage_seconds_count{listener="test",stage="protocol"}`,
		`dunlin_handshake_stage_seconds_count{listener="test",stage="response"}`,
	} {
		if got[name] == 0 {
			t.Errorf("no %s", name)
		}
	}
}

// Peers can't make series.
func TestLabelsAreBounded(t *testing.T) {
	m := prometheus.New(prometheus.Options{})
	for code := uint64(0); code < 1<<16; code++ {
		for _, cause := range []metrics.Cause{metrics.CauseApplication, metrics.CauseTransport} {
			for _, protocol := range []string{"h3", "test"} {
				m.ConnectionClosed(metrics.Connection{Protocol: protocol}, metrics.End{Remote: true, Cause: cause, Code: code})
			}
		}
		m.InitialAccepted(netip.AddrFrom4([4]byte{byte(code >> 8), byte(code)}))
	}
	ch := make(chan prom.Metric, 1<<10)
	m.Collect(ch)
	if n := len(ch); n > 150 {
		t.Errorf("%d series", n)
	}
}
