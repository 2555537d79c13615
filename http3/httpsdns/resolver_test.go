package httpsdns

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/leakcheck"
	"github.com/dunlin-quic/dunlin/internal/testcert"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// dnsServer is a DNS server on UDP and TCP whose answers a function makes: several over UDP, of which the first may be another's.
type dnsServer struct {
	addr    string
	queries atomic.Int32
}

type answerFunc func(network string, query dnsmessage.Message) [][]byte

func newDNSServer(t *testing.T, answer answerFunc) *dnsServer {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Skip("the port is taken: ", err)
	}
	s := &dnsServer{addr: tcp.Addr().String()}
	handle := func(network string, b []byte) [][]byte {
		s.queries.Add(1)
		var q dnsmessage.Message
		if err := q.Unpack(b); err != nil || len(q.Questions) != 1 || !q.RecursionDesired || len(q.Additionals) != 1 {
			t.Errorf("query %+v, %v", q, err)
			return nil
		}
		return answer(network, q)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for b := make([]byte, 4096); ; {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			for _, m := range handle("udp", b[:n]) {
				udp.WriteTo(m, from)
			}
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			if _, err := io.ReadFull(c, length[:]); err == nil {
				b := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(c, b); err == nil {
					for _, m := range handle("tcp", b) {
						c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
					}
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		<-done
		<-done
	})
	return s
}

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

// reply makes an answer to q.
func reply(q dnsmessage.Message, change func(*dnsmessage.Message), answers ...dnsmessage.Resource) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: slices.Clone(q.Questions), Answers: slices.Clone(answers), // Pack changes them
	}
	if change != nil {
		change(&m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func https(owner string, ttl uint32, priority uint16, target string, params ...dnsmessage.SVCParam) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name(owner), Class: dnsmessage.ClassINET, TTL: ttl},
		Body: &dnsmessage.HTTPSResource{SVCBResource: dnsmessage.SVCBResource{
			Priority: priority, Target: name(target), Params: params,
		}},
	}
}

func cname(owner string, ttl uint32, target string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name(owner), Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.CNAMEResource{CNAME: name(target)},
	}
}

func param(key dnsmessage.SVCParamKey, value ...byte) dnsmessage.SVCParam {
	return dnsmessage.SVCParam{Key: key, Value: value}
}

var alpn = param(dnsmessage.SVCParamALPN, []byte("\x02h3\x02h2")...)

// TestLookup understands what servers answer.
func TestLookup(t *testing.T) {
	both := []string{"h3", "h2"}
	plain := http3.HTTPSRecord{Priority: 1, Target: "example.org", ALPN: both}
	for _, tt := range []struct {
		name    string
		answers []dnsmessage.Resource
		rcode   dnsmessage.RCode
		want    []http3.HTTPSRecord
		ttl     time.Duration
	}{
		{"nothing", nil, dnsmessage.RCodeSuccess, nil, 0},
		{"no such name", nil, dnsmessage.RCodeNameError, nil, 0},
		{"own name", []dnsmessage.Resource{https("example.org.", 300, 1, ".", alpn)}, 0, []http3.HTTPSRecord{plain}, 300 * time.Second},
		{"all there is", []dnsmessage.Resource{
			https("EXAMPLE.org.", 300, 2, "Pool.example.net.", param(dnsmessage.SVCParamMandatory, 0, 1, 0, 4), alpn,
				param(dnsmessage.SVCParamNoDefaultALPN), param(dnsmessage.SVCParamPort, 0x20, 0xfb),
				param(dnsmessage.SVCParamIPv4Hint, 192, 0, 2, 1), param(dnsmessage.SVCParamECH, 1, 2, 3), param(0xff00, 9)),
			https("example.org.", 200, 1, "."),
		}, 0, []http3.HTTPSRecord{
			{Priority: 2, Target: "Pool.example.net", ALPN: both, Port: 8443, ECH: []byte{1, 2, 3}},
			{Priority: 1, Target: "example.org"},
		}, 200 * time.Second},
		{"alias", []dnsmessage.Resource{https("example.org.", 300, 0, "svc.example.net.", alpn)}, 0,
			[]http3.HTTPSRecord{{Target: "svc.example.net"}}, 300 * time.Second},
		{"no service", []dnsmessage.Resource{https("example.org.", 300, 0, ".")}, 0, []http3.HTTPSRecord{{Target: "."}}, 300 * time.Second},
		{"CNAME", []dnsmessage.Resource{
			https("c.example.net.", 300, 1, ".", alpn), https("other.example.", 1, 1, ".", alpn),
			cname("b.example.net.", 100, "C.example.net."), cname("example.org.", 200, "b.example.net."),
		}, 0, []http3.HTTPSRecord{{Priority: 1, Target: "c.example.net", ALPN: both}}, 100 * time.Second},
		{"CNAME to nothing", []dnsmessage.Resource{cname("example.org.", 200, "b.example.net.")}, 0, nil, 200 * time.Second},
		{"CNAMEs in a circle", []dnsmessage.Resource{cname("example.org.", 200, "b."), cname("b.", 200, "example.org.")}, 0, nil, 200 * time.Second},
		{"TTL beyond what there is", []dnsmessage.Resource{https("example.org.", 1<<31, 1, ".", alpn)}, 0, []http3.HTTPSRecord{plain}, 0},
		{"not for us", []dnsmessage.Resource{
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory, 0xff, 0), alpn, param(0xff00, 9)),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory, 0, 3), alpn),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory, 0, 0), alpn),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory, 0, 1, 0, 1), alpn),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory), alpn),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory, 0), alpn),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamALPN)),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamALPN, 0)),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamALPN, 3, 'h', '3')),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamNoDefaultALPN)),
			https("example.org.", 300, 1, ".", alpn, param(dnsmessage.SVCParamNoDefaultALPN, 1)),
			https("example.org.", 300, 1, ".", alpn, param(dnsmessage.SVCParamPort, 1)),
			https("example.org.", 300, 1, ".", alpn, param(dnsmessage.SVCParamECH)),
		}, 0, nil, 300 * time.Second},
		{"one not for us", []dnsmessage.Resource{
			https("example.org.", 300, 1, ".", alpn),
			https("example.org.", 300, 1, ".", param(dnsmessage.SVCParamMandatory, 0xff, 0), alpn, param(0xff00, 9)),
		}, 0, []http3.HTTPSRecord{plain}, 300 * time.Second},
		{"one malformed", []dnsmessage.Resource{
			https("example.org.", 300, 1, ".", alpn), https("example.org.", 300, 2, ".", alpn, param(dnsmessage.SVCParamPort, 1)),
		}, 0, nil, 300 * time.Second},
		{"very many", slices.Repeat([]dnsmessage.Resource{https("example.org.", 300, 1, ".", alpn)}, 50), 0,
			slices.Repeat([]http3.HTTPSRecord{plain}, maxRecords), 300 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newDNSServer(t, func(_ string, q dnsmessage.Message) [][]byte {
				if q.Questions[0].Name.String() != "example.org." || q.Questions[0].Type != dnsmessage.TypeHTTPS {
					t.Errorf("question %+v", q.Questions[0])
				}
				return [][]byte{reply(q, func(m *dnsmessage.Message) { m.RCode = tt.rcode }, tt.answers...)}
			})
			for _, n := range []string{"example.org", "example.org."} {
				got, ttl, err := (&Resolver{Servers: []string{s.addr}}).LookupHTTPS(t.Context(), n)
				if !reflect.DeepEqual(got, tt.want) || ttl != tt.ttl || err != nil {
					t.Errorf("%+v, %v, %v, want %+v, %v", got, ttl, err, tt.want, tt.ttl)
				}
			}
		})
	}
}

// TestTruncated asks again over TCP.
func TestTruncated(t *testing.T) {
	many := slices.Repeat([]dnsmessage.Resource{https("example.org.", 300, 1, strings.Repeat("long.", 30)+"example.", alpn)}, 30)
	s := newDNSServer(t, func(network string, q dnsmessage.Message) [][]byte {
		if network == "udp" {
			return [][]byte{reply(q, func(m *dnsmessage.Message) { m.Truncated = true }, many[0])}
		}
		return [][]byte{reply(q, nil, many...)}
	})
	got, _, err := (&Resolver{Servers: []string{s.addr}}).LookupHTTPS(t.Context(), "example.org")
	if len(got) != 30 || err != nil {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// TestForgeries waits for the answer that is one.
func TestForgeries(t *testing.T) {
	forged := https("example.org.", 300, 1, "evil.example.", alpn)
	s := newDNSServer(t, func(_ string, q dnsmessage.Message) [][]byte {
		change := func(f func(*dnsmessage.Message)) []byte { return reply(q, f, forged) }
		return [][]byte{
			nil, {1}, bytes.Repeat([]byte{0xff}, 100),
			change(func(m *dnsmessage.Message) { m.ID++ }),
			change(func(m *dnsmessage.Message) { m.Response = false }),
			change(func(m *dnsmessage.Message) { m.Questions[0].Name = name("example.com.") }),
			change(func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeA }),
			change(func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }),
			change(func(m *dnsmessage.Message) { m.Questions = nil }),
			change(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }),
			reply(q, nil, https("example.org.", 300, 1, "good.example.", alpn)),
		}
	})
	got, _, err := (&Resolver{Servers: []string{s.addr}}).LookupHTTPS(t.Context(), "example.org")
	if err != nil || len(got) != 1 || got[0].Target != "good.example" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestOtherServers goes on to the next where one fails, and says what was wrong with the first.
func TestOtherServers(t *testing.T) {
	good := newDNSServer(t, func(_ string, q dnsmessage.Message) [][]byte {
		return [][]byte{reply(q, nil, https("example.org.", 300, 1, ".", alpn))}
	})
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	isTimeout := func(err error) bool {
		var e net.Error
		return errors.As(err, &e) && e.Timeout()
	}
	bad := map[string]struct {
		addr string
		is   func(error) bool
	}{
		"silent": {newDNSServer(t, func(string, dnsmessage.Message) [][]byte { return nil }).addr, isTimeout},
		"failing": {newDNSServer(t, func(_ string, q dnsmessage.Message) [][]byte {
			return [][]byte{reply(q, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure })}
		}).addr, func(err error) bool {
			e, ok := errors.AsType[*ServerError](err)
			return ok && e.RCode == 2
		}},
		"broken": {newDNSServer(t, func(_ string, q dnsmessage.Message) [][]byte {
			m := reply(q, nil, https("example.org.", 300, 1, ".", alpn))
			return [][]byte{m[:len(m)-3]}
		}).addr, func(err error) bool { return errors.Is(err, ErrMalformed) }},
		"broken over TCP": {newDNSServer(t, func(network string, q dnsmessage.Message) [][]byte {
			return [][]byte{reply(q, func(m *dnsmessage.Message) {
				m.Truncated = true
				if network == "tcp" {
					m.ID++
				}
			})}
		}).addr, func(err error) bool { return errors.Is(err, ErrMalformed) }},
		"absent": {closed.LocalAddr().String(), func(err error) bool {
			var e *net.OpError
			return errors.As(err, &e)
		}},
		"no address": {"nowhere", func(err error) bool { return err != nil }},
	}
	for name, b := range bad {
		r := &Resolver{Servers: []string{b.addr, good.addr}, Timeout: time.Second}
		if got, _, err := r.LookupHTTPS(t.Context(), "example.org"); len(got) != 1 || err != nil {
			t.Errorf("%s, then another: %v, %v", name, got, err)
		}
		r.Servers = r.Servers[:1]
		if r.Timeout = 5 * time.Second; name == "silent" {
			r.Timeout = 10 * time.Millisecond
		}
		if _, _, err := r.LookupHTTPS(t.Context(), "example.org"); !b.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestContext ends a lookup with its context.
func TestContext(t *testing.T) {
	asked := make(chan struct{}, 10)
	s := newDNSServer(t, func(string, dnsmessage.Message) [][]byte { asked <- struct{}{}; return nil })
	gone := errors.New("not wanted any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := (&Resolver{Servers: []string{s.addr}, Timeout: time.Hour}).LookupHTTPS(ctx, "example.org")
		done <- err
	}()
	<-asked
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Error(err)
	}
}

// TestNames refuses what is no domain name.
func TestNames(t *testing.T) {
	for _, n := range []string{strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 200), "a..b"} {
		if _, _, err := (&Resolver{Servers: []string{"127.0.0.1:1"}}).LookupHTTPS(t.Context(), n); err == nil {
			t.Errorf("%q was asked for", n)
		}
	}
}

// TestConfigured reads resolv.conf.
func TestConfigured(t *testing.T) {
	for config, want := range map[string][]string{
		"":                          {"127.0.0.1:53"},
		"search example.org\n":      {"127.0.0.1:53"},
		"nameserver 192.0.2.1":      {"192.0.2.1:53"},
		"nameserver\nnameserver ::": {"[::]:53"},
		"# nameserver 192.0.2.9\n nameserver\t192.0.2.1 # first\nnameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3": {
			"192.0.2.1:53", "[fe80::1%eth0]:53", "192.0.2.2:53"},
	} {
		if got := configured(config); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", config, got, want)
		}
	}
}

// TestAltTransport takes a client to HTTP/3 with its first request, to a port that a name with a prefix tells of.
func TestAltTransport(t *testing.T) {
	cert, roots := testcert.Get()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { server.Close(); <-served }()
	tcp := httptest.NewUnstartedServer(h)
	tcp.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	tcp.StartTLS()
	defer tcp.Close()
	_, port, _ := net.SplitHostPort(tcp.Listener.Addr().String())
	at := netip.MustParseAddrPort(l.Addr().String())
	owner := "_" + port + "._https.localhost."
	s := newDNSServer(t, func(_ string, q dnsmessage.Message) [][]byte {
		return [][]byte{reply(q, nil, https(owner, 300, 1, ".", alpn, param(dnsmessage.SVCParamPort, byte(at.Port()>>8), byte(at.Port()))))}
	})
	tr := &http3.AltTransport{
		TCP: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		HTTP3: &http3.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots},
			Resolve: func(_ context.Context, host, port string) ([]netip.AddrPort, error) {
				if host+"." != owner || port != fmt.Sprint(at.Port()) {
					t.Errorf("looks for %s, port %s", host, port)
				}
				return []netip.AddrPort{at}, nil
			},
		},
		HTTPSRecords: &Resolver{Servers: []string{s.addr}},
		HeadStart:    10 * time.Second,
	}
	defer tr.Close()
	for range 3 {
		res, err := (&http.Client{Transport: tr}).Get("https://localhost:" + port)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(got) != "HTTP/3.0" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := s.queries.Load(); n != 1 {
		t.Errorf("%d queries", n)
	}
}

// FuzzAnswer understands arbitrary answers, or not.
func FuzzAnswer(f *testing.F) {
	q, err := newQuestion("example.org")
	if err != nil {
		f.Fatal(err)
	}
	asked := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: q.name, Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET}}}
	f.Add(reply(asked, nil, cname("example.org.", 1, "a."), https("a.", 300, 1, ".", alpn, param(dnsmessage.SVCParamPort, 1, 2))))
	f.Add(reply(asked, nil, https("example.org.", 300, 0, "svc.example.")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, m []byte) {
		q.answers(m, 0)
		truncated(m)
		records, ttl, err := q.records(m)
		if len(records) > maxRecords || ttl < 0 || err != nil && records != nil {
			t.Errorf("%v, %v, %v", records, ttl, err)
		}
		for _, r := range records {
			if r.Target == "" || r.Priority > 0 && r.ECH != nil && len(r.ECH) == 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}
