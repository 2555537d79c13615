package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

// load sends requests to a server.
type load struct {
	url         *url.URL
	request     *http.Request
	http2       bool
	streams     int // requests under way on each connection
	connections []*loadConnection

	total   *tally // of what is measured
	connect *tally // its latency is how long connecting took
	warming atomic.Bool
	began   atomic.Int64 // of measuring, nanoseconds since 1970
	elapsed time.Duration
}

// loadConnection is a transport that has, or had, one connection.
type loadConnection struct {
	transport loadTransport
	http3     atomic.Pointer[http3.ClientConn] // the latest made, over HTTP/3
}

// loadGrace is how long answers may take that are due when a load ends by time.
const loadGrace = 2 * time.Second

// loadPause is how long a stream waits after a failure, so that a server that is gone is not hammered.
const loadPause = 50 * time.Millisecond

var errNotHTTP2 = errors.New("the server does not speak HTTP/2 on this port")

// run makes the connections, warms them up, and measures. It returns the first error if there was no answer.
func (l *load) run(ctx context.Context, opts *benchOptions) error {
	l.warming.Store(true)
	l.connect = newTally()
	plan := &loadPlan{rate: opts.rate, length: opts.warmUp}
	if opts.warmUp > 0 {
		if err := l.phase(ctx, newTally(), plan); err != nil {
			return err
		}
	}
	l.warming.Store(false)
	plan = &loadPlan{rate: opts.rate, length: opts.duration, requests: opts.requests}
	start := time.Now()
	l.began.Store(start.UnixNano())
	err := l.phase(ctx, l.total, plan)
	l.elapsed = time.Since(start)
	return err
}

func (l *load) close() {
	for _, c := range l.connections {
		if t, ok := c.transport.(io.Closer); ok {
			t.Close()
		} else {
			c.transport.CloseIdleConnections()
		}
	}
}

// phase sends requests from all streams as a plan says, until they are answered.
func (l *load) phase(ctx context.Context, t *tally, plan *loadPlan) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	plan.start = time.Now()
	if plan.length > 0 {
		defer time.AfterFunc(plan.length+loadGrace, cancel).Stop()
	}
	var running sync.WaitGroup
	for i, c := range l.connections {
		connected := make(chan struct{})
		for j := range l.streams {
			shard := i*l.streams + j
			running.Go(func() {
				if j == 0 {
					// One request makes the connection, and the others wait for it.
					first := sync.OnceFunc(func() { close(connected) })
					defer first()
					l.stream(inner, c, t, plan, shard, first)
				} else {
					<-connected
					l.stream(inner, c, t, plan, shard, nil)
				}
			})
		}
	}
	running.Wait()
	if t.answered.Load() == 0 && ctx.Err() == nil {
		return t.firstError()
	}
	return ctx.Err()
}

// stream sends one request after the other. connected is not nil for the first stream of a connection.
func (l *load) stream(ctx context.Context, c *loadConnection, t *tally, plan *loadPlan, shard int, connected func()) {
	buf := make([]byte, 64<<10)
	for {
		start, ok := plan.next(ctx)
		if !ok {
			return
		}
		answer, err := l.send(ctx, c, buf, start, connected)
		if connected != nil {
			connected()
			connected = nil
		}
		switch {
		case err == nil:
			t.answer(shard, answer)
		case ctx.Err() != nil:
			t.unanswered.Add(1)
			return
		default:
			t.fail(l.classify(ctx, err).text, err)
			if t.answered.Load() == 0 {
				return // there may be no server at all
			}
			sleep(ctx, loadPause)
		}
	}
}

// loadAnswer is what came of a request.
type loadAnswer struct {
	status         int
	latency        time.Duration
	sent, received int64 // bytes of bodies
}

// send sends one request and reads its answer.
func (l *load) send(ctx context.Context, c *loadConnection, buf []byte, start time.Time, connected func()) (a loadAnswer, err error) {
	var made atomic.Pointer[time.Time] // the transport may call back later than it returns
	if connected != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			now := time.Now()
			if !info.Reused {
				l.connect.latency.record(0, now.Sub(start))
				made.Store(&now)
			}
			if conn, ok := info.Conn.(*http3.ClientConn); ok {
				c.http3.Store(conn)
			}
			connected()
		}})
	}
	req := l.request.WithContext(ctx)
	if req.GetBody != nil {
		if req.Body, err = req.GetBody(); err != nil {
			return a, err
		}
		a.sent = req.ContentLength
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if l.http2 && resp.ProtoMajor != 2 {
		return a, errNotHTTP2
	}
	a.status = resp.StatusCode
	for err == nil {
		var n int
		n, err = resp.Body.Read(buf)
		a.received += int64(n)
	}
	if m := made.Load(); m != nil {
		start = *m
	}
	a.latency = time.Since(start)
	if err == io.EOF {
		err = nil
	}
	return a, err
}

// streamNumber is what tells failures of one kind apart that should be counted together.
var streamNumber = regexp.MustCompile(` on stream \d+|stream ID \d+; `)

// classify finds out what an error means, whichever stream it was on.
func (l *load) classify(ctx context.Context, err error) *failure {
	f := l.classifyError(ctx, err)
	f.text = streamNumber.ReplaceAllString(f.text, "")
	return f
}

func (l *load) classifyError(ctx context.Context, err error) *failure {
	if l.http2 && ctx.Err() == nil {
		var timeout interface{ Timeout() bool }
		var record tls.RecordHeaderError
		switch {
		case errors.Is(err, errNotHTTP2):
			return &failure{statusTLS, err.Error()}
		case errors.As(err, &record):
			return &failure{statusTLS, "the server does not speak TLS on TCP port " + portName(l.url)}
		case errors.Is(err, syscall.ECONNREFUSED):
			return &failure{statusConnect, "connection refused: nothing listens on TCP port " + portName(l.url)}
		case errors.Is(err, syscall.ECONNRESET):
			return &failure{statusReset, "connection reset by the server"}
		case errors.As(err, &timeout) && timeout.Timeout():
			return &failure{statusTimeout, "timed out: no answer on TCP port " + portName(l.url)}
		}
	}
	return classify(ctx, l.url, err)
}

// loadPlan says when requests start.
type loadPlan struct {
	start    time.Time
	length   time.Duration // 0 is without end
	requests int64         // 0 is without end
	rate     float64       // per second; 0 is without limit
	begun    atomic.Int64
}

// next waits until the next request may start and returns when it should have; false when there is none any more.
func (p *loadPlan) next(ctx context.Context) (time.Time, bool) {
	number := p.begun.Add(1) - 1
	now := time.Now()
	due := now
	if p.rate > 0 {
		due = p.start.Add(time.Duration(float64(number) / p.rate * float64(time.Second)))
	}
	if p.requests > 0 && number >= p.requests || p.length > 0 && max(due.Sub(p.start), now.Sub(p.start)) >= p.length {
		return due, false
	}
	return due, sleep(ctx, due.Sub(now))
}

// sleep waits for d if that is positive; false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// protocol names what the requests go over.
func (l *load) protocol() string {
	if l.http2 {
		return "HTTP/2"
	}
	return "HTTP/3"
}

// describe says what the load is.
func (l *load) describe() string {
	return fmt.Sprintf("%s over %s: %s, %s at a time on each", l.url.Redacted(), l.protocol(),
		plural(len(l.connections), "connection"), plural(l.streams, "request"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
