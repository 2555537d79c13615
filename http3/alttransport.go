package http3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
)

// AltTransport is an http.RoundTripper over HTTP/1.1, HTTP/2 and HTTP/3, as browsers have it. It begins with TCP, learns from
// Alt-Svc header fields (RFC 7838) and HTTPS records (RFC 9460) which origins speak HTTP/3, and goes there from then on. While
// a connection over QUIC takes longer than HeadStart, requests go over TCP. Of several places that serve an origin the next is
// tried when one fails, or takes long; one that failed is left alone for five minutes, and for twice as long after every
// further failure. A request that HTTP/3 has failed to send is sent over TCP.
//
// Use it from any number of goroutines; its fields must not be changed after the first request. The zero value is ready to
// use.
type AltTransport struct {
	// TCP carries HTTP/1.1 and HTTP/2. Requests for which it is an *http.Transport with a proxy never leave it. Default: a
	// clone of http.DefaultTransport.
	TCP http.RoundTripper
	// HTTP3 carries HTTP/3. It is the AltTransport's own. Default: a Transport with the TLSClientConfig of TCP.
	HTTP3 *Transport
	// HTTPSRecords looks up HTTPS records. The first request to an origin waits for them up to 50 ms. What they say of Encrypted
	// ClientHello holds for HTTP/3: a request that goes over TCP names its origin in the clear, unless TCP sees to it. Optional.
	HTTPSRecords HTTPSResolver
	// HeadStart is how long a new connection over QUIC may keep a request from going over TCP. Default 300 ms.
	HeadStart time.Duration
	// MaxOrigins bounds the origins that are remembered. Default 1,000; a negative number remembers none.
	MaxOrigins int

	once   sync.Once
	book   altBook
	ctx    context.Context // of what is done in the background; ends with Close
	cancel context.CancelFunc

	now func() time.Time // for tests
}

const (
	defaultHeadStart  = 300 * time.Millisecond
	defaultMaxOrigins = 1000
)

func (t *AltTransport) init() {
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if t.TCP == nil {
		t.TCP = http.DefaultTransport.(*http.Transport).Clone()
	}
	if t.HTTP3 == nil {
		t.HTTP3 = &Transport{}
		if tcp, ok := t.TCP.(*http.Transport); ok {
			t.HTTP3.TLSClientConfig = tcp.TLSClientConfig
		}
	}
	t.HTTP3.book = &t.book
	t.book.now = t.now
	if t.now == nil {
		t.book.now = time.Now
	}
	t.book.max = max(t.MaxOrigins, 0)
	if t.MaxOrigins == 0 {
		t.book.max = defaultMaxOrigins
	}
}

// RoundTrip implements http.RoundTripper.
func (t *AltTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	if req.URL == nil || req.URL.Scheme != "https" || t.proxied(req) {
		return t.TCP.RoundTrip(req)
	}
	key, err := checkRequest(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	ready := t.book.ready(key)
	if !ready && t.HTTPSRecords != nil && named(key) && t.asked(req.Context(), key) {
		ready = t.book.ready(key)
	}
	if !ready || !t.connected(req.Context(), key) {
		return t.overTCP(key, req)
	}

	body := newOnceBody(req)
	defer body.settle()
	res, err := t.HTTP3.RoundTrip(body.request())
	switch {
	case err == nil:
		t.learn(key, res)
	case req.Context().Err() == nil && unsent(err):
		if again := body.again(); again != nil {
			return t.instead(key, req, again)
		}
	}
	if res != nil {
		res.Request = req
	}
	return res, err
}

// proxied reports whether a proxy carries the request, which HTTP/3 can't go through.
func (t *AltTransport) proxied(req *http.Request) bool {
	tcp, ok := t.TCP.(*http.Transport)
	if !ok || tcp.Proxy == nil {
		return false
	}
	proxy, err := tcp.Proxy(req)
	return proxy != nil || err != nil
}

// asked looks up the HTTPS records of an origin, if that is due, and waits a moment for them.
func (t *AltTransport) asked(ctx context.Context, key string) bool {
	call := t.book.call(key, func(o *altOrigin) **altCall { return &o.records },
		func(o *altOrigin) bool { return !t.book.now().Before(o.askAt) },
		func() error {
			ctx, cancel := context.WithTimeout(t.ctx, recordsTimeout)
			defer cancel()
			now := t.book.now()
			found, ttl, err := lookupRecords(ctx, t.HTTPSRecords, key, now)
			t.book.mu.Lock()
			defer t.book.mu.Unlock()
			o := t.book.origin(key)
			o.askAt = now.Add(ttl)
			if !o.ready(now) {
				o.alternatives = found
			}
			return err
		})
	return t.await(ctx, call, recordsWait)
}

// connected waits for a connection over QUIC, for its head start.
func (t *AltTransport) connected(ctx context.Context, key string) bool {
	if t.HTTP3.has(key) {
		return true
	}
	call := t.book.call(key, func(o *altOrigin) **altCall { return &o.probe },
		func(*altOrigin) bool { return true },
		func() error { return t.HTTP3.prepare(t.ctx, key) })
	headStart := t.HeadStart
	if headStart == 0 {
		headStart = defaultHeadStart
	}
	return t.await(ctx, call, headStart) && call.err == nil
}

// await waits for a call, not longer than limit. It returns false if there is none, or it is not over.
func (t *AltTransport) await(ctx context.Context, call *altCall, limit time.Duration) bool {
	if call == nil {
		return false
	}
	timer := time.NewTimer(max(limit, 0))
	defer timer.Stop()
	select {
	case <-call.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// overTCP sends the request over TCP and notes what the answer says about HTTP/3.
func (t *AltTransport) overTCP(key string, req *http.Request) (*http.Response, error) {
	res, err := t.TCP.RoundTrip(req)
	if err == nil && res.TLS != nil {
		t.learn(key, res)
	}
	return res, err
}

// instead sends again, which is req with its body once more, over TCP.
func (t *AltTransport) instead(key string, req, again *http.Request) (*http.Response, error) {
	res, err := t.overTCP(key, again)
	if err == nil {
		res.Request = req
	}
	return res, err
}

func (t *AltTransport) learn(key string, res *http.Response) {
	if res.StatusCode == http.StatusMisdirectedRequest {
		return // RFC 7838, Section 6: it says nothing of the origin
	}
	if values := res.Header["Alt-Svc"]; len(values) > 0 {
		if found, ok := parseAltSvc(values, generated(res, t.book.now())); ok && t.book.set(key, found) {
			t.HTTP3.leave(key, found)
		}
	}
}

// generated returns when a response was, which may come from a cache: the freshness of its Alt-Svc begins then (RFC 7838, Section
// 3.1; RFC 9111, Section 5.1).
func generated(res *http.Response, now time.Time) time.Time {
	age, err := strconv.ParseUint(strings.TrimSpace(res.Header.Get("Age")), 10, 63)
	if err != nil {
		return now
	}
	return now.Add(-time.Duration(min(age, uint64(maxAltSvcAge/time.Second))) * time.Second)
}

// NetworkChanged forgets which servers HTTP/3 did not work with, and where it is to be found, but for those of which the origin has
// said that they do not depend on the client's network (persist=1; RFC 7838, Section 3.1): for programs that hear of such changes.
// Connections go on.
func (t *AltTransport) NetworkChanged() {
	t.once.Do(t.init)
	t.book.moved()
}

// isDial reports whether no connection came about.
func isDial(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || errors.Is(err, ErrALPN)
}

// unsent reports whether the server has certainly not processed the request.
func unsent(err error) bool {
	if e, ok := errors.AsType[*h3.Error](err); ok && e.Code == h3.RequestRejected {
		return true
	}
	return isDial(err) || errors.Is(err, h3.ErrGoingAway) || errors.Is(err, h3.ErrExtendedConnect)
}

// onceBody is the body of a request that may have to be sent a second time, which a body allows that was not touched, or can be
// had again.
type onceBody struct {
	req  *http.Request
	body *untouchedBody
}

func newOnceBody(req *http.Request) *onceBody {
	b := &onceBody{req: req}
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		b.body = &untouchedBody{ReadCloser: req.Body}
	}
	return b
}

// request returns the request for the first time.
func (b *onceBody) request() *http.Request {
	if b.body == nil {
		return b.req
	}
	out := *b.req
	out.Body = b.body
	return &out
}

// again returns the request once more, nil if that can't be.
func (b *onceBody) again() *http.Request {
	switch {
	case b.req.Body == nil || b.req.Body == http.NoBody:
		return b.req
	case b.req.GetBody != nil:
		body, err := b.req.GetBody()
		if err != nil {
			return nil
		}
		out := *b.req
		out.Body = body
		return &out
	case b.body.keep():
		return b.req
	}
	return nil
}

// settle says that again will not be called.
func (b *onceBody) settle() {
	if b.body != nil {
		b.body.settle()
	}
}

// untouchedBody is a body that stays open, while nobody has read of it, until settle.
type untouchedBody struct {
	io.ReadCloser
	mu      sync.Mutex
	touched bool // something was read
	closed  bool // Close was called, and is owed to the body
	settled bool
	kept    bool // the body is another's
}

// Read implements io.Reader.
func (b *untouchedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.kept {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.touched = true
	b.mu.Unlock()
	return b.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (b *untouchedBody) Close() error {
	b.mu.Lock()
	if b.kept || !b.touched && !b.settled {
		b.closed = true
		b.mu.Unlock()
		return nil
	}
	b.mu.Unlock()
	return b.ReadCloser.Close()
}

// keep takes the body back, if nobody has read of it: who has had it before, and may not have noticed yet that it is over, can
// neither read nor close it any more.
func (b *untouchedBody) keep() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.touched {
		return false
	}
	b.kept = true
	return true
}

func (b *untouchedBody) settle() {
	b.mu.Lock()
	owed := b.closed && !b.settled && !b.kept
	b.settled = true
	b.mu.Unlock()
	if owed {
		b.ReadCloser.Close()
	}
}

// CloseIdleConnections closes connections that have no request running.
func (t *AltTransport) CloseIdleConnections() {
	t.once.Do(t.init)
	t.HTTP3.CloseIdleConnections()
	if tcp, ok := t.TCP.(interface{ CloseIdleConnections() }); ok {
		tcp.CloseIdleConnections()
	}
}

// Close closes all connections over QUIC, the idle ones over TCP, and makes later requests over HTTP/3 fail.
func (t *AltTransport) Close() error {
	t.once.Do(t.init)
	t.cancel()
	err := t.HTTP3.Close()
	t.CloseIdleConnections()
	return err
}
