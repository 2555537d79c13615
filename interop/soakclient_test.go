package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// soakClient makes the requests of a soak, of one server by one way.
type soakClient struct {
	t           *testing.T
	base        string
	ledger      *ledger
	transport   *http3.Transport
	mustSucceed bool          // requests that nobody abandons
	longest     time.Duration // pause: an orderly end waits for it
}

func newSoakClient(t *testing.T, addr netip.AddrPort, l *ledger) *soakClient {
	return &soakClient{t: t, base: urlOf(addr), ledger: l, longest: time.Second, transport: &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: testIdentity(t).pool},
		QUIC:            &quic.Config{IdleTimeout: 5 * time.Second, HandshakeTimeout: 10 * time.Second, KeepAlive: time.Second, EarlyData: true},
	}}
}

var errOnPurpose = errors.New("on purpose")

// soakPlan is what a request is to be like.
type soakPlan struct {
	upload, answer       int64
	echo                 bool
	pause                time.Duration // of the server before the answer, and of the client within its body
	serverBreaks         int64         // after so many bytes of the answer; -1 for never
	bodyBreaks, readOnly int64         // the client breaks off its body, or stops reading the answer; -1 for never
	cancel               time.Duration // the client cancels; 0 for never
	slow                 time.Duration // pause of the client in the middle of the answer
}

// soakSizes are the lengths of bodies, few enough for the digests of all to be kept: mostly small.
var soakSizes = sync.OnceValue(func() (sizes []int64) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		switch i % 20 {
		case 0:
			sizes = append(sizes, rng.Int64N(2<<20))
		case 1, 2, 3:
			sizes = append(sizes, rng.Int64N(100<<10))
		default:
			sizes = append(sizes, rng.Int64N(3000))
		}
	}
	for _, n := range sizes {
		contentSum(n)
	}
	return sizes
})

// chance makes a plan: mostly small and short, some of it large or long, and a third of it abandoned.
func chance(rng *rand.Rand, longest time.Duration) soakPlan {
	size := func() int64 { return soakSizes()[rng.IntN(len(soakSizes()))] }
	p := soakPlan{answer: size(), serverBreaks: -1, bodyBreaks: -1, readOnly: -1}
	if rng.IntN(2) == 0 {
		p.upload = size()
		p.echo = rng.IntN(4) == 0
	}
	if rng.IntN(10) == 0 {
		p.pause = time.Duration(rng.Int64N(int64(longest)))
	}
	if rng.IntN(10) == 0 {
		p.slow = time.Duration(rng.Int64N(int64(longest)))
	}
	switch rng.IntN(15) {
	case 0:
		if !p.echo {
			p.serverBreaks = rng.Int64N(p.answer + 1)
		}
	case 1:
		if p.upload > 0 {
			p.bodyBreaks = rng.Int64N(p.upload)
		}
	case 2:
		p.readOnly = rng.Int64N(p.answer + 1)
	case 3:
		p.cancel = 1 + time.Duration(rng.Int64N(int64(10*time.Millisecond)))
	case 4:
		p.cancel = 1 + time.Duration(rng.Int64N(int64(300*time.Millisecond)))
	}
	return p
}

// use does one of the things that clients do.
func (c *soakClient) use(rng *rand.Rand) {
	switch rng.IntN(20) {
	case 0:
		c.webSocket(rng)
	case 1:
		c.tunnel(rng)
	default:
		c.request(rng)
	}
}

// request makes one request and notes what became of it.
func (c *soakClient) request(rng *rand.Rand) {
	p := chance(rng, c.longest)
	id := c.ledger.open(p.upload == 0)
	acked, err := c.carryOut(id, p)
	own := p.serverBreaks >= 0 || p.bodyBreaks >= 0 || p.readOnly >= 0 || p.cancel > 0
	if p.serverBreaks >= 0 && p.readOnly < 0 && err == nil {
		c.t.Errorf("request %d: an answer that broke off was taken for whole: %+v", id, p)
	}
	if err != nil && (errors.Is(err, errStuck) || c.mustSucceed && !own) {
		c.t.Errorf("request %d: %v: %+v", id, err, p)
	}
	c.ledger.note(id, func(e *entry) { e.acked, e.err, e.own = acked, err, own })
	if err != nil && !own {
		<-time.After(50 * time.Millisecond) // as people do who see a server restart
	}
}

var errStuck = errors.New("neither answered nor failed")

// watch returns a context for something that is watched, and that is cancelled after some time unless that is 0; and what to
// call with its error at the end, which then becomes the reason why it was cancelled.
func (c *soakClient) watch(what string, after time.Duration) (context.Context, *watch, func(*error)) {
	ctx, fail := context.WithCancelCause(context.Background())
	ctx, w := watched(ctx, what)
	go w.guard(ctx, c.t, fail)
	cancel := context.CancelFunc(func() {})
	if after > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, after, errOnPurpose)
	}
	return ctx, w, func(err *error) {
		if *err != nil && context.Cause(ctx) != nil {
			*err = context.Cause(ctx)
		}
		cancel()
		fail(nil)
	}
}

// carryOut returns the digest of the body that the server confirms.
func (c *soakClient) carryOut(id uint64, p soakPlan) (acked string, err error) {
	ctx, w, end := c.watch(fmt.Sprintf("request %d: %+v", id, p), p.cancel)
	defer end(&err)
	c.ledger.note(id, func(e *entry) { e.watch = w })
	query := url.Values{"id": {fmt.Sprint(id)}, "answer": {fmt.Sprint(p.answer)}, "pause": {fmt.Sprint(p.pause.Milliseconds())}}
	if p.echo {
		query.Set("echo", "")
		p.answer = p.upload
	}
	if p.serverBreaks >= 0 {
		query.Set("break", fmt.Sprint(p.serverBreaks))
	}
	method, body := http.MethodGet, io.Reader(nil)
	if p.upload > 0 {
		method, body = http.MethodPost, p.body(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"?"+query.Encode(), body)
	if err != nil {
		return "", err
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	sum := sha256.New()
	if p.readOnly >= 0 {
		io.CopyN(io.Discard, res.Body, p.readOnly)
		return "", errOnPurpose
	}
	answer := countingReader{res.Body, func(n int) { w.count(&w.read, n) }}
	if _, err := io.Copy(sum, io.MultiReader(io.LimitReader(answer, p.answer/2), pausingReader{ctx, p.slow}, answer)); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != contentSum(p.answer) || res.StatusCode != http.StatusOK {
		err := fmt.Errorf("status %s, SHA-256 %s instead of %s", res.Status, got, contentSum(p.answer))
		c.t.Errorf("request %d: %v: %+v", id, err, p)
		return "", err
	}
	if p.upload == 0 {
		return res.Trailer.Get("X-Sum"), nil
	}
	if acked = res.Trailer.Get("X-Sum"); acked != contentSum(p.upload) {
		c.t.Errorf("request %d: the server got SHA-256 %s: %+v", id, acked, p)
	}
	return acked, nil
}

// body is the request's, with a pause in the middle.
func (p *soakPlan) body(ctx context.Context) io.Reader {
	parts := []io.Reader{}
	left := content(p.upload)
	if p.bodyBreaks >= 0 {
		return io.MultiReader(io.LimitReader(left, p.bodyBreaks), brokenReader{})
	}
	if p.pause > 0 {
		parts = append(parts, io.LimitReader(left, p.upload/2), pausingReader{ctx, p.pause})
	}
	return io.MultiReader(append(parts, left)...)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errOnPurpose }

// pausingReader takes its time to be empty.
type pausingReader struct {
	ctx   context.Context
	pause time.Duration
}

func (r pausingReader) Read([]byte) (int, error) {
	select {
	case <-time.After(r.pause):
		return 0, io.EOF
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}
