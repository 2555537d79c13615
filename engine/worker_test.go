package engine

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// No wake-up is lost, whoever wakes how: after every one comes a ProcessWrites, and never two at a time.
func TestWakeups(t *testing.T) {
	p := newPairOnLoopback(t, serverQUIC())
	var inside, asked atomic.Int32
	var seen int32 // owned by the step
	a := newScripted()
	a.writes = func(*Session) error {
		if inside.Add(1) != 1 {
			t.Error("two steps at a time")
		}
		seen = asked.Load()
		inside.Add(-1)
		return nil
	}
	c, err := p.dial(t.Context(), a.app)
	if err != nil {
		t.Fatal(err)
	}
	session := &c.w.session
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				asked.Add(1)
				switch (i + j) % 5 {
				case 0:
					session.Wake()
				case 1:
					session.Flush()
				case 2:
					c.Wake()
				case 3:
					c.Flush()
				case 4:
					if err := c.Do(func(*Session) {}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	// Every wake-up has been asked for: their effect is seen once the worker rests, without asking for another.
	for c.w.state.Load() != idle {
		runtime.Gosched()
	}
	if !c.w.state.CompareAndSwap(idle, running) {
		t.Skip("a packet came in between")
	}
	if seen != asked.Load() {
		t.Errorf("ProcessWrites saw %d of %d", seen, asked.Load())
	}
	c.w.release()
}

// Wake may be called from the application's own methods, and under a lock that they take.
func TestWakeInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		var mu sync.Mutex
		left := 100
		a := newScripted()
		a.writes = func(s *Session) error {
			mu.Lock()
			defer mu.Unlock()
			if left > 0 {
				left--
				s.Wake()
				s.Flush()
			}
			return nil
		}
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		c.Wake()
		mu.Unlock()
		synctest.Wait()
		if left != 0 {
			t.Errorf("%d wake-ups lost", left)
		}
	})
}

// The application's own timer brings a step when it asked for it, moved or not.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		var at time.Time // owned by the step
		fired := make(chan time.Time, 10)
		a := newScripted()
		a.deadline = func() (time.Time, bool) { return at, !at.IsZero() }
		a.writes = func(s *Session) error {
			if !at.IsZero() && !s.Now().Before(at) {
				at = time.Time{}
				fired <- s.Now()
			}
			return nil
		}
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		start := time.Now()
		for _, after := range [][]time.Duration{
			{time.Second}, {5 * time.Second, time.Second}, {time.Second, 5 * time.Second}, {8 * time.Second},
		} {
			start = time.Now()
			for _, d := range after {
				c.Do(func(*Session) { at = start.Add(d) })
			}
			want := start.Add(after[len(after)-1])
			if got := <-fired; !got.Equal(want) {
				t.Errorf("%v: fired after %v", after, got.Sub(start))
			}
		}
		if len(fired) != 0 {
			t.Errorf("fired %d times too often", len(fired))
		}
	})
}

func TestHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		infos := make(chan ConnInfo, 1)
		server := newScripted()
		p := newPair(t, ListenConfig{NewApplication: func(i ConnInfo) (ApplicationOverQUIC, error) {
			infos <- i
			return server, nil
		}})
		defer p.close(t)
		client := newScripted()
		c, err := p.dial(t.Context(), client.app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		info := <-infos
		accepted := info.Connection
		if info.Side != quic.Server || info.Local != p.server.LocalAddr() || info.Remote != p.client.LocalAddr() ||
			info.TLS == nil || info.TLS.NegotiatedProtocol != "test" {
			t.Errorf("%+v", info)
		}
		for _, h := range []struct {
			c             *Connection
			app           ApplicationOverQUIC
			local, remote *Endpoint
		}{{c, client, p.client, p.server}, {accepted, server, p.server, p.client}} {
			if h.c.Application() != h.app || h.c.LocalAddr() != h.local.LocalAddr() || h.c.RemoteAddr() != h.remote.LocalAddr() {
				t.Errorf("%v, %v, %v", h.c.Application(), h.c.LocalAddr(), h.c.RemoteAddr())
			}
			if h.c.Err() != nil {
				t.Errorf("Err: %v", h.c.Err())
			}
			var s *Session
			if err := h.c.Do(func(session *Session) {
				s = session
				if s.LocalAddr() != h.local.LocalAddr() || s.RemoteAddr() != h.remote.LocalAddr() || s.Connection() != h.c ||
					!s.Now().Equal(time.Now()) || s.Logger() == nil || s.Conn() == nil {
					t.Errorf("the session: %+v", s)
				}
			}); err != nil {
				t.Error(err)
			}
			if st := h.c.Stats(); st.DatagramsReceived == 0 || st.RTT < 10*time.Millisecond || st.RTT > 20*time.Millisecond {
				t.Errorf("%+v", st)
			}
		}
		before := accepted.Stats().DatagramsReceived
		c.Close()
		<-c.Done()
		<-accepted.Done()
		time.Sleep(time.Minute)
		for _, h := range []*Connection{c, accepted} {
			if err := h.Do(func(*Session) { t.Error("ran") }); err != net.ErrClosed {
				t.Errorf("Do after the end: %v", err)
			}
			if !errors.Is(h.Err(), net.ErrClosed) {
				t.Errorf("Err after the end: %v", h.Err())
			}
			h.Wake()
			h.Flush()
			h.Close()
		}
		if n := accepted.Stats().DatagramsReceived; n < before {
			t.Errorf("the last statistics say %d datagrams, earlier ones %d", n, before)
		}
	})
}

// While it closes, a connection answers the peer that did not get the news, and keeps nothing for longer than needed.
func TestCloseIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		a := newCaller()
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var server *worker
		p.server.mu.Lock()
		for server = range p.server.workers {
		}
		p.server.mu.Unlock()
		p.net.mu.Lock()
		p.net.drop = dropAll
		p.net.mu.Unlock()
		server.handle.CloseWithError(5, "")
		<-server.done
		p.net.mu.Lock()
		p.net.drop = nil
		p.net.mu.Unlock()
		if _, err := a.call(c, []byte("hello?")); err == nil {
			t.Error("the call succeeded")
		}
		if e, ok := errors.AsType[*quic.ApplicationError](<-a.closed); !ok || e.Code != 5 {
			t.Errorf("%v", e)
		}
		time.Sleep(5 * time.Second)
		if n := p.server.Stats().Connections; n != 0 {
			t.Errorf("%d connections after three PTO", n)
		}
	})
}
