package engine

import (
	"testing"

	"github.com/dunlin-quic/dunlin/udp"
)

// prompt is the echo application that says when it gives others something to do.
type prompt struct{ echo }

func (a *prompt) ProcessReads(s *Session) error {
	s.Expect()
	return a.echo.ProcessReads(s)
}

// A router that is the only one with anything to do waits in a system call, and ceases to when it has company.
func TestSolo(t *testing.T) {
	server := testListen(t, ListenConfig{NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) { return new(prompt), nil }})
	dial := func(cfg udp.Config) func() {
		sock, err := udp.Listen("127.0.0.1:0", &cfg)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEndpoint(nil, sock)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		caller, conn := testDial(t, e, server)
		return func() {
			if got, err := caller.call(conn, []byte("hello")); err != nil || string(got) != "hello" {
				t.Fatalf("%q, %v", got, err)
			}
		}
	}
	// The client's router must not be one that counts: it would be company.
	alone, company := dial(udp.Config{Portable: true}), dial(udp.Config{})
	r := server.Endpoint().routers()[0]
	until := func(call func(), solo bool) {
		t.Helper()
		for n := 0; (soloRouter.Load() == r) != solo; n++ {
			if n == 100*soloAfter {
				t.Fatalf("after %d calls: in a thread: %v", n, !solo)
			}
			call()
		}
	}
	until(alone, true)
	for range 10 {
		alone()
	}
	until(company, false)
	until(alone, true)
	server.Close()
	if soloRouter.Load() == r {
		t.Error("the router of a closed socket is thought to wait")
	}
}

// What judge decides, read by read.
func TestSoloJudge(t *testing.T) {
	const stirred, quiet = 's', 'q'
	var r, other router
	s := &solo{asked: 4}
	defer s.end(&r)
	defer other.solo.end(&other)
	s.judge(&r, false, false) // its first read
	for i, step := range []struct {
		reads string // 'o' is one by another router
		on    bool
		asked int
	}{
		{"qqq", false, 4},
		{"..", false, 4},
		{"q", true, 4},
		{"q..q", true, 4},
		{"s", false, 8},
		{"qqqqqqq", false, 8},
		{"s", false, 8},
		{"qqqqqqqq", true, 8},
		{"oq", false, 16},
		{"qqqqqqqqqqqqqqqq", true, 16},
	} {
		for _, c := range step.reads {
			if c == 'o' {
				lastRouter.Store(&other)
				continue
			}
			s.judge(&r, c == quiet, c == stirred)
		}
		if s.on != step.on || s.asked != step.asked || (soloRouter.Load() == &r) != step.on {
			t.Fatalf("step %d: on %v, asked %d", i, s.on, s.asked)
		}
	}
	s.reads = 9 * s.asked // that was worth it
	s.judge(&r, false, true)
	if s.on || s.asked != soloAfter {
		t.Errorf("on %v, asked %d", s.on, s.asked)
	}
}
