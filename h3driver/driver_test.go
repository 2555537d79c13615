package h3driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/quic"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func TestRequestAndResponse(t *testing.T) {
	p := newPair(t, nil)
	fields := append(slices.Clone(getFields), h3.Field{Name: "x-test", Value: "1"})
	c, err := p.client.OpenRequest(testContext(t), Part{Header: fields, Fin: true}, "value")
	if err != nil {
		t.Fatal(err)
	}
	request := next(t, p.server, EventHeaders)
	if !slices.Equal(request.Fields, fields) || !request.Fin {
		t.Errorf("request %+v", request)
	}
	if err := request.Stream.Respond(okFields, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	response := next(t, p.client, EventHeaders)
	if response.Stream != c || response.Stream.Value != "value" || !slices.Equal(response.Fields, okFields) {
		t.Errorf("response %+v", response)
	}
	if body, err := io.ReadAll(c); string(body) != "hello" || err != nil {
		t.Errorf("body %q %v", body, err)
	}
	if c.ID() != request.Stream.ID() {
		t.Errorf("stream IDs %d and %d", c.ID(), request.Stream.ID())
	}
	next(t, p.server, EventStreamClosed)
	next(t, p.client, EventStreamClosed)
}

// TestSmallResponseIsOneDatagram: header section, body and end are one command and travel together.
func TestSmallResponseIsOneDatagram(t *testing.T) {
	p := newPair(t, nil)
	best := uint64(100)
	for range 50 { // other packets, such as probes of the path MTU, may come between
		_, s := p.open(t, Part{Header: getFields, Fin: true})
		before := p.server.Stats().PacketsSent
		s.Respond(okFields, pattern(500))
		best = min(best, p.server.Stats().PacketsSent-before)
		next(t, p.client, EventHeaders)
	}
	if best != 1 {
		t.Errorf("a response took %d packets at least", best)
	}
}

// TestTrailersAndInterimResponses: inbound trailers are delivered, and a 1xx response does not hide the final one.
func TestTrailersAndInterimResponses(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields})
	trailer := []h3.Field{{Name: "x-sum", Value: "42"}}
	c.Write([]byte("request"))
	c.SendTrailers(trailer)
	if body, err := io.ReadAll(s); string(body) != "request" || err != nil {
		t.Errorf("request body %q %v", body, err)
	}
	if got := s.Trailers(); !slices.Equal(got, trailer) {
		t.Errorf("request trailers %v", got)
	}
	for _, status := range []string{"103", "102"} {
		if err := s.Send(Part{Header: []h3.Field{{Name: ":status", Value: status}}, Interim: true}); err != nil {
			t.Fatal(err)
		}
		if ev := next(t, p.client, EventInterim); ev.Fields[0].Value != status || ev.Stream != c {
			t.Errorf("interim %+v", ev)
		}
	}
	if err := s.Send(Part{Header: okFields, Body: []byte("response"), Trailer: trailer}); err != nil {
		t.Fatal(err)
	}
	next(t, p.client, EventHeaders)
	if got := c.Trailers(); got != nil {
		t.Errorf("trailers before the end of the body: %v", got)
	}
	if body, err := io.ReadAll(c); string(body) != "response" || err != nil {
		t.Errorf("response body %q %v", body, err)
	}
	if got := c.Trailers(); !slices.Equal(got, trailer) {
		t.Errorf("response trailers %v", got)
	}
}

// TestBodiesOfAllSizes moves bodies around the sizes of the buffers, in both directions at once.
func TestBodiesOfAllSizes(t *testing.T) {
	p := newPair(t, nil)
	for _, size := range []int{0, 1, blocking.SmallBuffer - 1, blocking.SmallBuffer, blocking.SmallBuffer + 1, blocking.LargeBuffer - 1, blocking.LargeBuffer, blocking.LargeBuffer + 1, blocking.LargeBuffer + blocking.SmallBuffer, 1<<20 + 3} {
		for _, read := range []int{1 << 10, blocking.SmallBuffer, 1 << 17} {
			c, s := p.open(t, Part{Header: postFields})
			var wg sync.WaitGroup
			move := func(w, r *Stream) {
				wg.Go(func() {
					if n, err := w.Write(pattern(size)); n != size || err != nil {
						t.Errorf("wrote %d of %d: %v", n, size, err)
					}
					if err := w.CloseWrite(); err != nil {
						t.Error(err)
					}
				})
				wg.Go(func() {
					var got bytes.Buffer
					if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, r, make([]byte, read)); err != nil {
						t.Error(err)
					}
					if !bytes.Equal(got.Bytes(), pattern(size)) {
						t.Errorf("%d of %d bytes arrived, or others", got.Len(), size)
					}
				})
			}
			move(c, s)
			if err := s.SendHeaders(okFields, false); err != nil {
				t.Fatal(err)
			}
			next(t, p.client, EventHeaders)
			move(s, c)
			wg.Wait()
		}
	}
}

// TestBodiesAreNoEvents: a body costs no event, however long it is.
func TestBodiesAreNoEvents(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: getFields, Fin: true})
	go s.Respond(okFields, pattern(5<<20))
	next(t, p.client, EventHeaders)
	if n, err := io.Copy(io.Discard, c); n != 5<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	for {
		ev, err := p.client.NextEvent(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == EventStreamClosed {
			break
		}
		if ev.Kind != EventSettings {
			t.Errorf("event %v", ev.Kind)
		}
	}
}

// TestUnreadBodyStaysSmall: what nobody reads is in QUIC's window and not in a driver's buffer.
func TestUnreadBodyStaysSmall(t *testing.T) {
	p := newPair(t, &options{serverQUIC: quic.Config{StreamWindow: 100_000, MaxStreamWindow: 100_000}})
	c, s := p.open(t, Part{Header: postFields})
	other, otherServer := p.open(t, Part{Header: postFields})
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := c.Write(make([]byte, 10<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n > 100_000+blocking.SmallBuffer+256<<10 {
		t.Errorf("wrote %d, %v", n, err)
	}
	s.mu.Lock()
	if held := s.in.Cap(); held > blocking.SmallBuffer {
		t.Errorf("the driver holds a buffer of %d bytes", held)
	}
	s.mu.Unlock()
	go func() { other.Write(pattern(500_000)); other.CloseWrite() }()
	if got, err := io.ReadAll(otherServer); !bytes.Equal(got, pattern(500_000)) || err != nil {
		t.Errorf("the other stream stands still too: %d bytes, %v", len(got), err)
	}
	// Reading lets the first go on.
	c.SetWriteDeadline(time.Time{})
	done := make(chan error, 1)
	go func() { done <- c.CloseWrite() }()
	if m, err := io.Copy(io.Discard, s); m != int64(n) || err != nil {
		t.Errorf("read %d of %d, %v", m, n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeadlines(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields})
	past := time.Now().Add(-time.Second)
	buf := make([]byte, 10)

	s.SetReadDeadline(past)
	if _, err := s.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past deadline: %v", err)
	}
	s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := s.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline to come: %v", err)
	}
	// A Read that waits hears of a deadline set meanwhile, and of one that is lifted.
	s.SetReadDeadline(time.Now().Add(time.Hour))
	failed := make(chan error, 1)
	go func() { _, err := s.Read(buf); failed <- err }()
	waiting(t, s, &s.in.Slot)
	s.SetReadDeadline(past)
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline set while waiting: %v", err)
	}
	// Afterwards the stream is as good as new.
	s.SetDeadline(time.Time{})
	c.Write([]byte("later"))
	if n, err := s.Read(buf); string(buf[:n]) != "later" || err != nil {
		t.Errorf("%q %v", buf[:n], err)
	}
	c.SetWriteDeadline(past)
	if _, err := c.Write(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	if err := c.SendTrailers(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("trailers: %v", err)
	}
}

// waiting waits until a goroutine is parked in a stream's slot.
func waiting(t *testing.T, s *Stream, slot *blocking.Slot) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		s.mu.Lock()
		parked := slot.Waiting()
		s.mu.Unlock()
		if parked {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}

func TestCancel(t *testing.T) {
	isError := func(t *testing.T, err error, remote bool, code h3.ErrCode) {
		t.Helper()
		var e *h3.Error
		if !errors.As(err, &e) || e.Remote != remote || e.Code != code || !e.OnStream {
			t.Errorf("error %v, want code %v, remote %v", err, code, remote)
		}
	}
	t.Run("write", func(t *testing.T) {
		p := newPair(t, nil)
		c, s := p.open(t, Part{Header: postFields})
		ctx := s.Context()
		read := make(chan error, 1)
		go func() { _, err := io.ReadAll(s); read <- err }()
		waiting(t, s, &s.in.Slot)
		c.CancelWrite(h3.RequestCancelled)
		isError(t, <-read, true, h3.RequestCancelled)
		isError(t, next(t, p.server, EventReset).Err, true, h3.RequestCancelled)
		<-ctx.Done()
		isError(t, context.Cause(ctx), true, h3.RequestCancelled)
		_, err := c.Write([]byte("x"))
		isError(t, err, false, h3.RequestCancelled)
	})
	t.Run("read", func(t *testing.T) {
		p := newPair(t, nil)
		c, s := p.open(t, Part{Header: postFields})
		ctx := c.Context()
		written := make(chan error, 1)
		go func() { _, err := io.Copy(c, endless{}); written <- err }()
		waiting(t, c, &c.out.slot)
		s.CancelRead(h3.ExcessiveLoad)
		isError(t, <-written, true, h3.ExcessiveLoad)
		isError(t, next(t, p.client, EventStopSending).Err, true, h3.ExcessiveLoad)
		<-ctx.Done()
		_, err := s.Read(make([]byte, 1))
		isError(t, err, false, h3.ExcessiveLoad)
	})
	t.Run("after the end", func(t *testing.T) {
		p := newPair(t, nil)
		c, s := p.open(t, Part{Header: getFields, Fin: true})
		if err := c.CloseWrite(); !errors.Is(err, ErrFinished) {
			t.Errorf("second end: %v", err)
		}
		if err := c.Send(Part{Body: []byte("x")}); !errors.Is(err, ErrFinished) {
			t.Errorf("body after the end: %v", err)
		}
		s.CancelRead(h3.NoError)
		if err := s.Respond(okFields, []byte("fine")); err != nil {
			t.Error(err)
		}
		next(t, p.client, EventHeaders)
		if body, err := io.ReadAll(c); string(body) != "fine" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		next(t, p.client, EventStreamClosed)
		if err := c.Context().Err(); err == nil {
			t.Error("the context of a closed stream goes on")
		}
	})
	t.Run("what was read", func(t *testing.T) {
		p := newPair(t, nil)
		c, s := p.open(t, Part{Header: getFields, Fin: true})
		s.Respond(okFields, pattern(10_000))
		next(t, p.client, EventHeaders)
		io.ReadFull(c, make([]byte, 100))
		c.CancelRead(h3.RequestCancelled)
		_, err := c.Read(make([]byte, 100))
		isError(t, err, false, h3.RequestCancelled)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestMalformedMessageIsReset: what HTTP/3 refuses to send fails at the sender, and does not leave the peer waiting.
func TestMalformedMessageIsReset(t *testing.T) {
	p := newPair(t, nil)
	bad := []h3.Field{{Name: ":status", Value: "200"}, {Name: "Upper", Value: "x"}}
	c, s := p.open(t, Part{Header: getFields, Fin: true})
	var e *h3.Error
	if err := s.SendHeaders(bad, true); !errors.As(err, &e) || e.Code != h3.MessageError {
		t.Errorf("server: %v", err)
	}
	next(t, p.server, EventReset)
	if ev := next(t, p.client, EventReset); ev.Stream != c {
		t.Errorf("%+v", ev)
	}
	c, err := p.client.OpenRequest(testContext(t), Part{Header: bad, Fin: true}, nil)
	if err == nil {
		if ev := next(t, p.client, EventReset); ev.Stream != c || !errors.As(ev.Err, &e) || e.Code != h3.MessageError {
			t.Errorf("client: %+v", ev)
		}
	}
	// The connection goes on.
	c, s = p.open(t, Part{Header: getFields, Fin: true})
	s.Respond(okFields, nil)
	if ev := next(t, p.client, EventHeaders); ev.Stream != c || !ev.Fin {
		t.Errorf("%+v", ev)
	}
}

// releases counts calls of Release.
type releases struct {
	mu sync.Mutex
	n  int
}

func (r *releases) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
}

func (r *releases) want(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r.mu.Lock()
		got := r.n
		r.mu.Unlock()
		if got == n {
			return
		}
		if got > n || time.Now().After(deadline) {
			t.Fatalf("released %d times, want %d", got, n)
		}
	}
}

// TestEveryPartIsReleasedOnce, however it ends.
func TestEveryPartIsReleasedOnce(t *testing.T) {
	var r releases
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields, Release: &r})
	r.want(t, 1)
	s.Send(Part{Header: okFields, Body: []byte("x"), Release: &r})
	r.want(t, 2)
	s.Send(Part{Body: make([]byte, 8<<20), Release: &r}) // stuck
	s.SetWriteDeadline(time.Now().Add(time.Millisecond))
	if err := s.Send(Part{Body: []byte("x"), Release: &r}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	r.want(t, 3)
	s.CancelWrite(h3.InternalError)
	r.want(t, 4)
	s.Send(Part{Body: []byte("x"), Release: &r})
	r.want(t, 5)
	c.Send(Part{Body: make([]byte, 8<<20), Release: &r}) // stuck
	p.server.Close()
	r.want(t, 6)
	c.Send(Part{Body: []byte("x"), Release: &r})
	r.want(t, 7)
	p.client.OpenRequest(testContext(t), Part{Header: getFields, Fin: true, Release: &r}, nil)
	r.want(t, 8)
}

// lentBody overwrites a body when it is given back: sent once more, that would show.
type lentBody struct {
	releases
	body []byte
}

func (l *lentBody) Release() {
	clear(l.body)
	l.releases.Release()
}

// TestLentBodies moves bodies that are copied and bodies that are not, over a network that loses datagrams, to a reader whose
// window is smaller than they are.
func TestLentBodies(t *testing.T) {
	o := &options{serverQUIC: quic.Config{StreamWindow: 100_000, MaxStreamWindow: 100_000}}
	p := listen(t, o)
	impaired := udpproxy.Impairment{Drop: 0.02, Reorder: 0.02}
	proxy, err := udpproxy.Listen(p.addr, udpproxy.Config{ToServer: impaired, ToClient: impaired})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	p.addr = proxy.Addr()
	driver := NewClient(&o.client)
	p.dial(t, o.clientQUIC, driver)
	p.client, p.server = driver.Controller(), <-p.servers
	for _, size := range []int{minLoan - 1, minLoan, 200_000, 1_000_000} {
		c, s := p.open(t, Part{Header: postFields})
		if err := s.SendHeaders(okFields, false); err != nil {
			t.Fatal(err)
		}
		next(t, p.client, EventHeaders)
		for _, way := range [][2]*Stream{{c, s}, {s, c}} {
			from, to := way[0], way[1]
			var lent []*lentBody
			for range 3 {
				l := &lentBody{body: pattern(size)}
				lent = append(lent, l)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for i, l := range lent {
					if err := from.Send(Part{Body: l.body, Fin: i == 2, Release: l}); err != nil {
						t.Error(err)
					}
				}
			})
			got, err := io.ReadAll(to)
			if want := bytes.Repeat(pattern(size), 3); !bytes.Equal(got, want) || err != nil {
				t.Errorf("%d of %d bytes arrived, or others: %v", len(got), len(want), err)
			}
			wg.Wait()
			for _, l := range lent {
				l.want(t, 1)
			}
		}
	}
}

func TestStreamLimit(t *testing.T) {
	p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 2}})
	a, _ := p.open(t, Part{Header: postFields})
	_, sb := p.open(t, Part{Header: getFields, Fin: true})
	ctx, cancel := context.WithCancel(context.Background())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := p.client.OpenRequest(ctx, Part{Header: getFields, Fin: true}, nil)
		gaveUp <- err
	}()
	order := make(chan string, 2)
	wait := func(n int) {
		for deadline := time.Now().Add(10 * time.Second); ; {
			var waiting int
			p.client.Do(testContext(t), func(*engine.Session, *h3.Conn) { waiting = len(p.client.d.waiting) })
			if waiting == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d requests in line, want %d", waiting, n)
			}
		}
	}
	wait(1)
	for i, name := range []string{"first", "second"} {
		go func() {
			s, err := p.client.OpenRequest(testContext(t), Part{Header: getFields, Fin: true}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			order <- name
			s.CancelRead(h3.RequestCancelled)
		}()
		wait(2 + i)
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	wait(2)
	// A stream that ends makes room for the first in line.
	sb.Respond(okFields, nil)
	if got := <-order; got != "first" {
		t.Errorf("%s came first", got)
	}
	next(t, p.client, EventHeaders)
	s := next(t, p.server, EventHeaders).Stream
	s.CancelWrite(h3.RequestCancelled)
	if got := <-order; got != "second" {
		t.Errorf("%s came second", got)
	}
	a.CancelWrite(h3.RequestCancelled)
}

// TestQueueIsBounded: a peer that opens and resets requests without end, while nobody listens, costs no memory.
func TestQueueIsBounded(t *testing.T) {
	p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 10}})
	for range 500 {
		s, err := p.client.OpenRequest(testContext(t), Part{Header: postFields}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.CancelWrite(h3.RequestCancelled)
		s.CancelRead(h3.RequestCancelled)
	}
	p.server.Do(testContext(t), func(*engine.Session, *h3.Conn) {
		p.server.d.mu.Lock()
		defer p.server.d.mu.Unlock()
		if n := p.server.d.events.len(); n > 50 {
			t.Errorf("%d events wait", n)
		}
		if n := p.server.d.live.n.Load(); n > 10 {
			t.Errorf("%d streams live", n)
		}
	})
	// And those who listen later can work.
	c, err := p.client.OpenRequest(testContext(t), Part{Header: getFields, Fin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for {
		ev, err := p.server.NextEvent(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == EventHeaders && ev.Stream.ID() == c.ID() {
			ev.Stream.Respond(okFields, nil)
			break
		}
	}
}

// TestInterimResponsesAreBounded: a server that sends interim responses without end to a client that does not listen
// loses the request.
func TestInterimResponsesAreBounded(t *testing.T) {
	p := newPair(t, nil)
	_, s := p.open(t, Part{Header: getFields, Fin: true})
	var err error
	for range 10_000 {
		if err = s.Send(Part{Header: []h3.Field{{Name: ":status", Value: "103"}}, Interim: true}); err != nil {
			break
		}
	}
	if ev := next(t, p.server, EventStopSending); ev.Stream != s {
		t.Errorf("%+v, after %v", ev, err)
	}
	p.client.Do(testContext(t), func(*engine.Session, *h3.Conn) {
		p.client.d.mu.Lock()
		defer p.client.d.mu.Unlock()
		if n := p.client.d.events.len(); n > 2*maxInterim {
			t.Errorf("%d events wait", n)
		}
	})
}

func TestGoAwayDrains(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		p := newPair(t, nil)
		c, s := p.open(t, Part{Header: getFields, Fin: true})
		p.server.GoAway()
		if ev := next(t, p.client, EventGoAway); ev.ID < uint64(c.ID()) {
			t.Errorf("GOAWAY excludes a request that is running: %d", ev.ID)
		}
		if _, err := p.client.OpenRequest(testContext(t), Part{Header: getFields, Fin: true}, nil); !errors.Is(err, h3.ErrGoingAway) {
			t.Errorf("new request: %v", err)
		}
		if err := s.Respond(okFields, pattern(300_000)); err != nil {
			t.Fatal(err)
		}
		for {
			ev, err := p.client.NextEvent(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if ev.Kind == EventHeaders {
				break
			}
		}
		if body, err := io.ReadAll(c); len(body) != 300_000 || err != nil {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		end := next(t, p.server, EventClosed)
		var e *h3.Error
		if !errors.As(end.Err, &e) || e.Code != h3.NoError {
			t.Errorf("closed with %v", end.Err)
		}
		if _, err := p.server.NextEvent(testContext(t)); err == nil || !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
	t.Run("client", func(t *testing.T) {
		p := newPair(t, nil)
		c, s := p.open(t, Part{Header: getFields, Fin: true})
		p.client.GoAway()
		next(t, p.server, EventGoAway)
		s.Respond(okFields, []byte("still answered"))
		next(t, p.client, EventHeaders)
		if body, err := io.ReadAll(c); string(body) != "still answered" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		next(t, p.client, EventClosed)
		next(t, p.server, EventClosed)
	})
	t.Run("idle server", func(t *testing.T) {
		p := newPair(t, nil)
		p.server.GoAway()
		next(t, p.server, EventClosed)
	})
}

// Who gets a server's controller may close the connection before OnEstablished was called.
func TestCloseBeforeEstablished(t *testing.T) {
	p := newPair(t, &options{early: func(c *ServerController) { c.CloseWithError(h3.ExcessiveLoad, "too early") }})
	var e *h3.Error
	if ev := next(t, p.client, EventClosed); !errors.As(ev.Err, &e) || e.Code != h3.ExcessiveLoad || !e.Remote {
		t.Errorf("the client is told %v", ev.Err)
	}
}

func TestClose(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields})
	read := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
	waiting(t, c, &c.in.Slot)
	done := p.client.Done()
	p.server.CloseWithError(h3.ExcessiveLoad, "too much")
	for side, ev := range map[bool]Event{true: next(t, p.client, EventClosed), false: next(t, p.server, EventClosed)} {
		var e *h3.Error
		if !errors.As(ev.Err, &e) || e.Code != h3.ExcessiveLoad || e.Reason != "too much" || e.Remote != side || e.OnStream {
			t.Errorf("on the client %v: %v", side, ev.Err)
		}
	}
	<-done
	<-p.client.Done()
	if err := p.client.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Err: %v", err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := p.client.Do(testContext(t), func(*engine.Session, *h3.Conn) { t.Error("ran") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Do: %v", err)
	}
	if _, err := p.client.OpenRequest(testContext(t), Part{Header: getFields, Fin: true}, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("OpenRequest: %v", err)
	}
	if p.client.Err() == nil || p.client.Stats().PacketsSent == 0 {
		t.Error("nothing is known of the connection after its end")
	}
	<-c.Context().Done()
}

// TestEveryWaitEndsWithTheConnection: whatever waits when the connection ends returns, and says that it has ended.
func TestEveryWaitEndsWithTheConnection(t *testing.T) {
	ends := map[string]func(*pair){
		"closed here":  func(p *pair) { p.client.Close() },
		"closed there": func(p *pair) { p.server.Close() },
		"broken": func(p *pair) {
			p.client.Do(context.Background(), func(s *engine.Session, _ *h3.Conn) {
				s.Conn().Close(s.Now(), &quic.TransportError{Code: quic.InternalError})
			})
		},
	}
	// Each function fills what it needs, says that it is about to wait, and waits.
	waits := map[string]func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error{
		"Read": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error {
			c, _ := p.open(t, Part{Header: postFields})
			about(c, &c.in.Slot)
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"Write": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error {
			c, _ := p.open(t, Part{Header: postFields})
			about(c, &c.out.slot)
			_, err := io.Copy(c, endless{})
			return err
		},
		"Send": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) (err error) {
			c, _ := p.open(t, Part{Header: postFields})
			about(c, &c.out.slot)
			for err == nil {
				err = c.Send(Part{Body: make([]byte, 64<<10)})
			}
			return err
		},
		"Flush": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error {
			c, _ := p.open(t, Part{Header: postFields})
			if err := c.Send(Part{Body: make([]byte, 64<<20)}); err != nil {
				return err
			}
			about(c, &c.out.slot)
			return c.Flush()
		},
		"CloseWrite": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error {
			c, _ := p.open(t, Part{Header: postFields})
			if err := c.Send(Part{Body: make([]byte, 64<<20)}); err != nil {
				return err
			}
			about(c, &c.out.slot)
			return c.CloseWrite()
		},
		"Context": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error {
			c, _ := p.open(t, Part{Header: postFields})
			ctx := c.Context()
			about(nil, nil)
			<-ctx.Done()
			return context.Cause(ctx)
		},
		"OpenRequest": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) error {
			p.open(t, Part{Header: postFields})
			about(nil, nil)
			_, err := p.client.OpenRequest(testContext(t), Part{Header: getFields, Fin: true}, nil)
			return err
		},
		"NextEvent": func(t *testing.T, p *pair, about func(*Stream, *blocking.Slot)) (err error) {
			about(nil, nil)
			for err == nil {
				_, err = p.client.NextEvent(testContext(t))
			}
			return err
		},
	}
	for how, end := range ends {
		for what, wait := range waits {
			t.Run(what+" "+how, func(t *testing.T) {
				p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 1}})
				type place struct {
					s    *Stream
					slot *blocking.Slot
				}
				about, done := make(chan place), make(chan error, 1)
				go func() { done <- wait(t, p, func(s *Stream, slot *blocking.Slot) { about <- place{s, slot} }) }()
				if at := <-about; at.s != nil {
					waiting(t, at.s, at.slot)
				}
				end(p)
				select {
				case err := <-done:
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("error %v", err)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("still waits")
				}
			})
		}
	}
}

func TestNextEventEndsWithTheContext(t *testing.T) {
	p := newPair(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for {
		if _, err := p.client.NextEvent(ctx); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			break
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	const idle = 5 * time.Second
	for _, side := range []string{"server", "client"} {
		t.Run(side, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &options{virtual: true}
				cfg := &o.server
				if side == "client" {
					cfg = &o.client
				}
				cfg.IdleTimeout = idle
				p := newPair(t, o)
				c, s := p.open(t, Part{Header: getFields, Fin: true})
				time.Sleep(3 * idle) // a request that runs is no idleness, however long it takes
				s.Respond(okFields, []byte("x"))
				next(t, p.client, EventHeaders)
				if body, err := io.ReadAll(c); string(body) != "x" || err != nil {
					t.Errorf("%q %v", body, err)
				}
				answered := time.Now()
				for _, c := range []interface {
					NextEvent(context.Context) (Event, error)
				}{p.client, p.server} {
					for {
						ev, err := c.NextEvent(testContext(t))
						if err != nil {
							t.Fatal(err)
						}
						if ev.Kind == EventClosed {
							var e *h3.Error
							if !errors.As(ev.Err, &e) || e.Code != h3.NoError {
								t.Errorf("closed with %v", ev.Err)
							}
							break
						}
					}
				}
				if took := time.Since(answered); took < idle-100*time.Millisecond || took > idle+100*time.Millisecond {
					t.Errorf("closed %v after the answer", took)
				}
			})
		})
	}
}

// TestConcurrentUsersOfAStream: several writers and readers take turns, and none loses bytes.
func TestConcurrentUsersOfAStream(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields})
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, err := c.Write(bytes.Repeat([]byte("x"), 10_000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { wg.Wait(); c.CloseWrite() }()
	var mu sync.Mutex
	var total int
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			buf := make([]byte, 7777)
			for {
				n, err := s.Read(buf)
				if strings.Trim(string(buf[:n]), "x") != "" {
					t.Error("other bytes")
				}
				mu.Lock()
				total += n
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	readers.Wait()
	if total != writers*each*10_000 {
		t.Errorf("%d bytes", total)
	}
}
