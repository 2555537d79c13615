package http3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
)

// clientExchange is one request and its response on a client.
type clientExchange struct {
	conn   *ClientConn
	req    *http.Request
	trace  *httptrace.ClientTrace
	stream *h3driver.Stream // set when the request was handed over

	hasBody     bool
	bodyTouched atomic.Bool   // some of it was read, or it was closed
	bodyClosed  sync.Once     // closes it
	bodySent    chan struct{} // closed when nothing more will be sent; nil without a body
	proceed     chan struct{} // closed at 100 Continue or the final response; nil unless expected
	proceedOnce sync.Once     // closes it
	stopped     atomic.Bool   // the body is not wanted
	gzip        bool          // we asked for gzip of our own accord
	late        bool          // not to be sent in early data
	alternative bool          // it goes to an alternative service

	notify chan struct{} // capacity 1: there is something new below

	mu      sync.Mutex // guards what follows; also taken in the connection's step
	header  *fieldBuffer
	fin     bool
	interim []*fieldBuffer
	size    int // of all interim responses
	err     error
	aborted error // why we gave up

	users atomic.Int32 // what has to end before the request is over for the connection's account
}

func newClientExchange(c *ClientConn, req *http.Request) *clientExchange {
	x := &clientExchange{conn: c, req: req, trace: httptrace.ContextClientTrace(req.Context())}
	x.hasBody = req.Body != nil && req.Body != http.NoBody
	x.notify = make(chan struct{}, 1)
	x.users.Store(1)
	return x
}

// done ends one of the exchange's users.
func (x *clientExchange) done() {
	if x.users.Add(-1) == 0 {
		x.conn.transport.release(x.conn)
	}
}

func (x *clientExchange) wake() {
	select {
	case x.notify <- struct{}{}:
	default:
	}
}

// gotHeaders takes the final response's header section; in the connection's step. What comes after the request's failure is an
// answer to something else.
func (x *clientExchange) gotHeaders(b *fieldBuffer, fin bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		b.free()
		return
	}
	x.header, x.fin = b, fin
	x.wake()
}

// gotInterim takes an interim response; in the connection's step.
func (x *clientExchange) gotInterim(b *fieldBuffer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.size += sectionSize(b.fields); x.size > x.conn.transport.maxResponseHeaderBytes() {
		x.err = errInterim
		b.free()
	} else {
		x.interim = append(x.interim, b)
	}
	x.wake()
}

var errInterim = errors.New("http3: the server sends interim responses without end")

// gotError hears that no (more) response comes; in the connection's step.
func (x *clientExchange) gotError(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		if x.err = err; err == nil {
			x.err = errNoResponse
		}
	}
	x.wake()
}

var errNoResponse = errors.New("http3: the stream ended without a response")

// reason returns why this side gave the request up, or nil.
func (x *clientExchange) reason() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.aborted
}

// abort gives the request up for a reason that reads of the response will return.
func (x *clientExchange) abort(err error) {
	x.mu.Lock()
	if x.aborted == nil {
		x.aborted = err
	}
	x.mu.Unlock()
	x.stream.CancelWrite(h3.RequestCancelled)
	x.stream.CancelRead(h3.RequestCancelled)
	x.closeBody()
}

// closeBody closes the request's body, which ends a Read in it.
func (x *clientExchange) closeBody() {
	if x.hasBody {
		x.bodyTouched.Store(true)
		x.bodyClosed.Do(func() { x.req.Body.Close() })
	}
}

// stopBody hears that the server needs no more of the request; in the connection's step.
func (x *clientExchange) stopBody() {
	if x.hasBody && !x.stopped.Swap(true) {
		go x.closeBody()
	}
}

// roundTrip sends the request and waits for the response's header section.
func (x *clientExchange) roundTrip() (*http.Response, error) {
	ctx := x.req.Context()
	part, whole, err := x.firstPart()
	if err != nil {
		x.done()
		return nil, err
	}
	if x.hasBody && !whole {
		x.bodySent = make(chan struct{})
		if x.expectsContinue() {
			x.proceed = make(chan struct{})
		}
	}
	if err := x.awaitSettings(ctx); err != nil {
		part.Release.Release()
		x.done()
		return nil, err
	}
	if x.stream, err = x.open(ctx, part); err != nil {
		x.notOpened(err)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		x.done()
		return nil, err
	}
	if x.trace != nil && x.trace.WroteHeaders != nil {
		x.trace.WroteHeaders()
	}
	if x.bodySent != nil {
		x.users.Add(1)
		go x.sendBody()
	} else {
		x.wroteRequest(nil)
	}
	res, err := x.await(ctx)
	if err != nil {
		if !x.opened() {
			x.notOpened(err)
		}
		x.abort(err)
		x.done()
		return nil, err
	}
	return res, nil
}

// open hands the request over. It waits for the stream only if somebody wants to know, for that costs another wake-up.
func (x *clientExchange) open(ctx context.Context, p h3driver.Part) (*h3driver.Stream, error) {
	if x.trace != nil || x.bodySent != nil || x.conn.transport.ResponseHeaderTimeout > 0 {
		return x.conn.controller.OpenRequest(ctx, p, x)
	}
	if err := ctx.Err(); err != nil {
		p.Release.Release()
		return nil, err
	}
	return x.conn.controller.LeaveRequest(p, x)
}

// opened reports whether the server may know of the request.
func (x *clientExchange) opened() bool { return x.stream != nil && x.stream.Opened() }

// notOpened sees to it that a connection which can't open streams gets no further requests.
func (x *clientExchange) notOpened(err error) {
	if errors.Is(err, h3.ErrGoingAway) || errors.Is(err, net.ErrClosed) {
		x.conn.transport.retire(x.conn)
	}
}

// await waits for the response's header section and tells of interim responses meanwhile.
func (x *clientExchange) await(ctx context.Context) (*http.Response, error) {
	var timeout <-chan time.Time
	sent := x.bodySent
	if sent == nil {
		timeout = x.headerTimeout()
	}
	first := true
	for {
		select {
		case <-x.notify:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-sent:
			sent = nil
			timeout = x.headerTimeout()
			continue
		case <-timeout:
			return nil, errHeaderTimeout
		}
		x.mu.Lock()
		header, fin, interim, err := x.header, x.fin, x.interim, x.err
		x.interim = nil
		x.mu.Unlock()
		if first && x.trace != nil && x.trace.GotFirstResponseByte != nil && (header != nil || interim != nil) {
			first = false
			x.trace.GotFirstResponseByte()
		}
		for _, b := range interim {
			if err := x.handleInterim(b); err != nil {
				return nil, err
			}
		}
		if header != nil {
			x.allowBody(false)
			return x.newResponse(header, fin)
		}
		if err != nil {
			if reason := x.reason(); reason != nil {
				err = reason
			}
			return nil, err
		}
	}
}

func (x *clientExchange) headerTimeout() <-chan time.Time {
	if d := x.conn.transport.ResponseHeaderTimeout; d > 0 {
		return time.After(d)
	}
	return nil
}

// timeoutError is a net.Error whose Timeout is true.
type timeoutError string

func (e timeoutError) Error() string   { return string(e) }
func (e timeoutError) Timeout() bool   { return true }
func (e timeoutError) Temporary() bool { return true }

var errHeaderTimeout error = timeoutError("http3: timeout awaiting response headers")

func (x *clientExchange) handleInterim(b *fieldBuffer) error {
	pseudo, rest := splitPseudo(b.fields)
	status, err := parseStatus(pseudo)
	header := toHeader(rest)
	b.free()
	if err != nil {
		return err
	}
	if status == http.StatusContinue {
		if x.trace != nil && x.trace.Got100Continue != nil {
			x.trace.Got100Continue()
		}
		x.allowBody(true)
	}
	if x.trace != nil && x.trace.Got1xxResponse != nil {
		return x.trace.Got1xxResponse(status, textproto.MIMEHeader(header))
	}
	return nil
}

// repeatable reports whether the request may be sent again after err.
func (x *clientExchange) repeatable(err error, reused bool) bool {
	if x.req.Context().Err() != nil {
		return false
	}
	if x.conn.failedEarly() || errors.Is(err, quic.ErrEarlyDataRejected) {
		return true
	}
	if !x.opened() {
		// Nothing was sent.
		return errors.Is(err, h3.ErrGoingAway) || errors.Is(err, net.ErrClosed)
	}
	x.mu.Lock()
	answered := x.header != nil || x.size > 0
	x.mu.Unlock()
	if answered {
		return false
	}
	var e *h3.Error
	if errors.As(err, &e) && e.OnStream {
		// RFC 9114, Section 4.1.1: the server has not processed it, and is likely to reject the next one too.
		if e.Code == h3.RequestRejected {
			x.conn.transport.retire(x.conn)
		}
		return e.Code == h3.RequestRejected
	}
	return reused && errors.Is(err, net.ErrClosed) && !errors.Is(err, quic.ErrHandshakeTimeout) && x.idempotent()
}

// idempotent is net/http's rule for requests that a connection's end leaves in the dark.
func (x *clientExchange) idempotent() bool {
	if x.hasBody && x.req.GetBody == nil {
		return false
	}
	switch x.req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, ok := x.req.Header["Idempotency-Key"]
	return ok
}
