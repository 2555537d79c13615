package engine

import (
	"runtime"
	"testing"

	"github.com/dunlin-quic/dunlin/udp"
)

// someProcessors makes sure that a thread which waits leaves one to the others.
func someProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(before, 2))
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// A router that is the only one with anything to do waits in a system call, and ceases to when it has company.
func TestSolo(t *testing.T) {
	someProcessors(t)
	server := testListen(t, ListenConfig{})
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
			if n == 10000 {
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

// What judge decides, look by look.
func TestSoloJudge(t *testing.T) {
	someProcessors(t)
	var r, other router
	s := &solo{asked: 4}
	defer s.end(&r)
	for i, step := range []struct {
		looks string // 's' found somebody, 'n' nobody
		on    bool
		asked int
	}{
		{"nnn", false, 4},
		{"s", false, 4},
		{"nnn", false, 4},
		{"n", true, 4},
		{"nsnsn", true, 4},
		{"ss", false, 8},
		{"nnnnnnn", false, 8},
		{"s", false, 8},
		{"nnnnnnnn", true, 8},
		{"ss", false, 16},
	} {
		for _, look := range step.looks {
			s.judge(&r, look == 's')
		}
		if s.on != step.on || s.asked != step.asked || (soloRouter.Load() == &r) != step.on {
			t.Fatalf("step %d: on %v, asked %d", i, s.on, s.asked)
		}
	}

	// One router at a time.
	soloRouter.Store(&other)
	for range 20 {
		s.judge(&r, false)
	}
	if s.on {
		t.Error("two routers wait")
	}
	other.solo.end(&other)
	s.judge(&r, false)
	if !s.on {
		t.Error("no router waits")
	}

	s.looks = 8*s.asked + 1 // that was worth it
	s.leave(&r)
	if s.on || s.asked != soloAfter {
		t.Errorf("on %v, asked %d", s.on, s.asked)
	}
}
