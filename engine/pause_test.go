package engine

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// pausedPair is a pair whose server's connections wait.
func pausedPair(t *testing.T, timeout time.Duration) (*pair, chan *Paused) {
	arrived := make(chan *Paused, 10)
	return newPair(t, ListenConfig{
		NewApplication: PauseAfterHandshake(timeout, func(p *Paused) { arrived <- p }),
		CloseError:     &quic.ApplicationError{Code: 77},
	}), arrived
}

// What the client sends meanwhile is there when the application is.
func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, arrived := pausedPair(t, 0)
		defer p.close(t)
		a, c := testDial(t, p.client, p.listener)
		data := randomBytes(100_000)
		var got []byte
		answered := make(chan error)
		go func() {
			var err error
			got, err = a.call(c, data)
			answered <- err
		}()
		paused := <-arrived
		info := paused.Info()
		if info.TLS == nil || info.TLS.NegotiatedProtocol != "test" || info.Remote.String() != clientAddr || info.Side != quic.Server {
			t.Errorf("info: %+v", info)
		}
		time.Sleep(5 * time.Second)
		select {
		case err := <-answered:
			t.Fatal("answered by nobody: ", err)
		default:
		}
		if paused.Info().Connection.Application() != paused {
			t.Error("another application")
		}
		if err := paused.Resume(newEcho); err != nil {
			t.Fatal(err)
		}
		if err := paused.Resume(newEcho); err == nil || errors.Is(err, net.ErrClosed) {
			t.Error("resumed twice: ", err)
		}
		if err := <-answered; err != nil || !bytes.Equal(got, data) {
			t.Fatal("no echo: ", err)
		}
		// The limit was for the choice.
		time.Sleep(10 * time.Second)
		if _, err := a.call(c, data[:10]); err != nil {
			t.Error(err)
		}
	})
}

func TestPauseEnds(t *testing.T) {
	for _, x := range []struct {
		name    string
		timeout time.Duration
		end     func(*pair, *Paused)
		after   time.Duration
		want    error // as the client sees it
	}{
		{"default timeout", 0, nil, defaultPause, &quic.TransportError{Remote: true, Code: quic.ConnectionRefused, Reason: errUnwanted.Reason}},
		{"timeout", time.Second, nil, time.Second, &quic.TransportError{Remote: true, Code: quic.ConnectionRefused, Reason: errUnwanted.Reason}},
		{"refused", -1, func(_ *pair, p *Paused) { p.Refuse(5, "") }, 0,
			&quic.ApplicationError{Remote: true, Code: 5}},
		{"shutdown", 0, func(p *pair, _ *Paused) { p.listener.Shutdown(context.Background()) }, 0,
			&quic.ApplicationError{Remote: true, Code: 77}},
		{"no application", 0, func(_ *pair, p *Paused) {
			p.Resume(func(ConnInfo) (ApplicationOverQUIC, error) { return nil, &quic.ApplicationError{Code: 6} })
		}, 0, &quic.ApplicationError{Remote: true, Code: 6}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, arrived := pausedPair(t, x.timeout)
				defer p.close(t)
				_, c := testDial(t, p.client, p.listener)
				began := time.Now()
				paused := <-arrived
				if x.end != nil {
					x.end(p, paused)
				}
				<-c.Done()
				if got := c.Err().Error(); got != x.want.Error() {
					t.Errorf("the client is told %q, not %q", got, x.want)
				}
				if d := time.Since(began); d < x.after || d > x.after+time.Second {
					t.Errorf("after %v", d)
				}
				time.Sleep(time.Second)
				if err := paused.Resume(newEcho); err == nil {
					t.Error("resumed after the end")
				}
			})
		})
	}
}

// A drain that comes between Resume and the step that obeys it is for the new application.
func TestPauseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, arrived := pausedPair(t, 0)
		defer p.close(t)
		_, c := testDial(t, p.client, p.listener)
		paused := <-arrived
		server := paused.Info().Connection
		if err := server.Do(func(*Session) {
			// In the step: neither is obeyed before it ends.
			paused.Resume(func(ConnInfo) (ApplicationOverQUIC, error) { return drained{}, nil })
			server.w.mailbox.ask(func(m *mail) { m.drain = true })
			server.Wake()
		}); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if got, ok := errors.AsType[*quic.ApplicationError](c.Err()); !ok || got.Code != 8 {
			t.Errorf("the client is told %v", c.Err())
		}
	})
}

type drained struct{ Base }

func (drained) Drain(*Session) error { return &quic.ApplicationError{Code: 8} }
