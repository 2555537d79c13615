package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// An earlyPeer is an httpPeer that can do without the handshake's round trip: its clients send requests in early data (0-RTT),
// and its servers take them.
type earlyPeer interface {
	serveEarly(cfg serverConfig, h http.Handler) (string, error)
	earlyTransport(cfg *tls.Config) closableTransport
}

var earlyPeers = map[string]earlyPeer{}

// returner is a client that comes back: each of its connections brings it a session for the next one.
type returner struct {
	tls      *tls.Config
	sessions tls.ClientSessionCache
	came     chan struct{}
	resumed  atomic.Bool // by the last connection
}

func newReturner(cfg *tls.Config) *returner {
	r := &returner{sessions: tls.NewLRUClientSessionCache(1), came: make(chan struct{}, 1)}
	r.tls = cfg.Clone()
	r.tls.ClientSessionCache = r
	r.tls.VerifyConnection = func(state tls.ConnectionState) error {
		r.resumed.Store(state.DidResume)
		return nil
	}
	return r
}

func (r *returner) Get(key string) (*tls.ClientSessionState, bool) { return r.sessions.Get(key) }

func (r *returner) Put(key string, session *tls.ClientSessionState) {
	r.sessions.Put(key, session)
	if session != nil {
		select {
		case r.came <- struct{}{}:
		default:
		}
	}
}

// sessionPatience is how long a session may be on its way after the answer to a request.
const sessionPatience = 5 * time.Second

// await waits for the session of the connection at hand.
func (r *returner) await() error {
	select {
	case <-r.came:
		return nil
	case <-time.After(sessionPatience):
		return errors.New("the server gave no session")
	}
}

// resumptions makes connections that resume the session of the one before, for size seconds, in as many goroutines as make
// full handshakes. one makes a connection of a returner, and says whether it was as the work wants it.
func resumptions(c *clientEnv, one func(*returner) (bool, error)) (float64, error) {
	clients := make([]*returner, handshakesAtOnce)
	visit := func(r *returner) (bool, error) {
		select {
		case <-r.came: // twice on the connection before
		default:
		}
		ok, err := one(r)
		return ok && r.resumed.Load(), err
	}
	// The first visit brings a session, the second is like those that count.
	for i := range clients {
		clients[i] = newReturner(c.tls)
		for range 2 {
			if _, err := visit(clients[i]); err != nil {
				return 0, err
			}
		}
	}
	c.start()
	end := time.Now().Add(seconds(c.size))
	var others atomic.Int64
	n, err := parallel(handshakesAtOnce, func(i int) (int, error) {
		n := 0
		for time.Now().Before(end) {
			began := time.Now()
			ok, err := visit(clients[i])
			if err != nil {
				return n, err
			}
			if !ok {
				others.Add(1)
			}
			c.lat.add(time.Since(began))
			n++
		}
		return n, nil
	})
	if m := float64(others.Load()); err == nil && m > n/2 {
		err = fmt.Errorf("%.0f of %.0f connections did not resume, or had no early data", m, n)
	}
	return n, err
}

// httpResumed is httpHandshake with sessions.
func httpResumed(c *clientEnv) (float64, error) {
	return resumptions(c, func(r *returner) (bool, error) {
		_, err := visitHTTP(httpPeers[c.peer].transport(r.tls), c.addr, r)
		return true, err
	})
}

// httpEarly is httpResumed with the request in early data.
func httpEarly(c *clientEnv) (float64, error) {
	return resumptions(c, func(r *returner) (bool, error) {
		early, err := visitHTTP(earlyPeers[c.peer].earlyTransport(r.tls), c.addr, r)
		_, late := earlyPeers[c.peer].(dunlinLate)
		return early || late, err
	})
}

// rawResumed is rawHandshake with sessions.
func rawResumed(c *clientEnv) (float64, error) {
	return resumptions(c, func(r *returner) (bool, error) {
		conn, err := rawPeers[c.peer].dial(context.Background(), c.addr, r.tls)
		if err != nil {
			return false, err
		}
		defer conn.Close()
		if err := conn.transfer('d', smallAnswer, make([]byte, 512)); err != nil {
			return false, err
		}
		return true, r.await()
	})
}

// earlyField is the header field in which the server tells that a request came before the handshake was complete.
const earlyField = "X-Early"

// visitHTTP makes one small request on a connection of its own, and waits for the session.
func visitHTTP(t closableTransport, addr string, r *returner) (early bool, err error) {
	defer t.Close()
	req, err := http.NewRequest(http.MethodGet, "https://"+addr+"/"+strconv.Itoa(smallAnswer), nil)
	if err != nil {
		return false, err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != smallAnswer || resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d, %d bytes, %w", resp.StatusCode, n, err)
	}
	return resp.Header.Get(earlyField) != "", r.await()
}

// earlyHandler answers small requests, and tells of those in early data.
func earlyHandler(w http.ResponseWriter, r *http.Request) {
	if !r.TLS.HandshakeComplete {
		w.Header().Set(earlyField, "1")
	}
	handler(w, r)
}
