package engine

import (
	"bytes"
	"context"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
)

// recorder is a Metrics that remembers.
type recorder struct {
	mu                 sync.Mutex
	open, opened       int
	stages             map[metrics.HandshakeStage][]time.Duration
	done               []time.Duration
	ends               []metrics.End
	of                 []metrics.Connection // the ends
	accepted, steps    int
	rejected, failures []string
	dropped            map[metrics.Queue]uint64
	bandwidth, most    int64
}

func newRecorder() *recorder {
	return &recorder{stages: make(map[metrics.HandshakeStage][]time.Duration), dropped: make(map[metrics.Queue]uint64)}
}

func (r *recorder) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *recorder) ConnectionOpened(metrics.Connection) { r.locked(func() { r.open++; r.opened++ }) }
func (r *recorder) HandshakeStep(_ metrics.Connection, s metrics.HandshakeStage, d time.Duration) {
	r.locked(func() { r.stages[s] = append(r.stages[s], d) })
}
func (r *recorder) HandshakeDone(_ metrics.Connection, d time.Duration) {
	r.locked(func() { r.done = append(r.done, d) })
}
func (r *recorder) ConnectionClosed(c metrics.Connection, e metrics.End) {
	r.locked(func() { r.open--; r.ends = append(r.ends, e); r.of = append(r.of, c) })
}
func (r *recorder) InitialAccepted(netip.Addr) { r.locked(func() { r.accepted++ }) }
func (r *recorder) PacketRejected(_ netip.Addr, reason string) {
	r.locked(func() { r.rejected = append(r.rejected, reason) })
}
func (r *recorder) PacketsDropped(q metrics.Queue, n uint64) { r.locked(func() { r.dropped[q] += n }) }
func (r *recorder) SendFailed(reason string) {
	r.locked(func() { r.failures = append(r.failures, reason) })
}
func (r *recorder) SendBlocked(time.Duration)            {}
func (r *recorder) StepRan(time.Duration, time.Duration) { r.locked(func() { r.steps++ }) }
func (r *recorder) BandwidthChanged(delta int64) {
	r.locked(func() { r.bandwidth += delta; r.most = max(r.most, r.bandwidth) })
}

// watchedPair is a pair both of whose endpoints have a recorder, with 10 ms between them.
func watchedPair(t *testing.T) (p *pair, net *fakeNet, server, client *recorder) {
	net = newFakeNet(10 * time.Millisecond)
	server, client = newRecorder(), newRecorder()
	p = &pair{
		net: net, client: net.endpoint(t, EndpointConfig{Metrics: client}, clientAddr),
		server: net.endpoint(t, EndpointConfig{Metrics: server}, serverAddr),
	}
	var err error
	if p.listener, err = p.server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	return p, net, server, client
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, server, client := watchedPair(t)
		defer p.close(t)
		a, c := testDial(t, p.client, p.listener)
		data := randomBytes(1 << 20)
		if got, err := a.call(c, data); err != nil || !bytes.Equal(got, data) {
			t.Fatal("no echo: ", err)
		}
		if st := c.Audit(); st.MaxBandwidth == 0 || st.MaxStreams == 0 || st.Protocol != "test" || st.Handshake == 0 || st.Err != nil {
			t.Errorf("audit of a connection that lives: %+v", st)
		}
		time.Sleep(time.Second)
		c.CloseWithError(7, "bye")
		<-c.Done()
		time.Sleep(10 * time.Second) // the closing and draining periods

		for name, r := range map[string]*recorder{"server": server, "client": client} {
			r.mu.Lock()
			if r.open != 0 || r.opened != 1 || len(r.ends) != 1 || len(r.done) != 1 {
				t.Fatalf("%s: %d of %d connections open, %d handshakes, %d ends", name, r.open, r.opened, len(r.done), len(r.ends))
			}
			if d := r.done[0]; d < 10*time.Millisecond || d > time.Second {
				t.Errorf("%s: the handshake took %v", name, d)
			}
			e := r.ends[0]
			if e.Handshake || e.Cause != metrics.CauseApplication || e.Code != 7 || e.Remote != (name == "server") {
				t.Errorf("%s: end %+v", name, e)
			}
			if r.of[0] != (metrics.Connection{Server: name == "server", Protocol: "test"}) {
				t.Errorf("%s: end of %+v", name, r.of[0])
			}
			if e.Lifetime < time.Second || e.MaxStreams < 1 || e.MaxBandwidth <= 0 || e.MaxLoss < 0 || e.MaxLoss > 0.5 {
				t.Errorf("%s: end %+v", name, e)
			}
			if r.most <= 0 || r.bandwidth != 0 {
				t.Errorf("%s: bandwidth in use %d, at most %d", name, r.bandwidth, r.most)
			}
			for _, s := range []metrics.HandshakeStage{metrics.HandshakeQueue, metrics.HandshakeProtocol, metrics.HandshakeResponse} {
				if len(r.stages[s]) == 0 {
					t.Errorf("%s: no stage %v", name, s)
				}
			}
			if r.steps == 0 {
				t.Errorf("%s: no steps", name)
			}
			r.mu.Unlock()
		}
		if server.accepted != 1 || client.accepted != 0 {
			t.Errorf("accepted %d and %d", server.accepted, client.accepted)
		}
		if got := c.Audit(); got.Sent == nil || *got.Sent != (CloseReason{true, 7, "bye"}) || got.Received != nil ||
			got.Cause != metrics.CauseApplication || got.Stats.BytesSent < 1<<20 || got.Lifetime < time.Second {
			t.Errorf("audit after the end: %+v", got)
		}
	})
}

// Each way to end has its name, also in the audit.
func TestMetricsOfEnds(t *testing.T) {
	for _, x := range []struct {
		name   string
		end    func(t *testing.T, p *pair, net *fakeNet)
		client metrics.End
	}{
		{"idle", func(t *testing.T, p *pair, net *fakeNet) {
			_, c := testDial(t, p.client, p.listener)
			<-c.Done()
		}, metrics.End{Cause: metrics.CauseIdleTimeout}},
		{"handshake timeout", func(t *testing.T, p *pair, net *fakeNet) {
			net.drop = dropAll
			p.dial(t.Context(), newCaller().app)
		}, metrics.End{Handshake: true, Cause: metrics.CauseHandshakeTimeout}},
		{"transport", func(t *testing.T, p *pair, net *fakeNet) {
			_, c := testDial(t, p.client, p.listener)
			c.Close()
			<-c.Done()
		}, metrics.End{Cause: metrics.CauseTransport}},
		{"remote", func(t *testing.T, p *pair, net *fakeNet) {
			_, c := testDial(t, p.client, p.listener)
			p.listener.Close()
			<-c.Done()
		}, metrics.End{Cause: metrics.CauseTransport, Remote: true}},
		{"certificate", func(t *testing.T, p *pair, net *fakeNet) {
			cfg := clientQUIC()
			cfg.TLS = cfg.TLS.Clone()
			cfg.TLS.RootCAs = nil
			cfg.TLS.ServerName = "elsewhere"
			if _, err := p.client.Dial(t.Context(), p.listener.Addr(), &DialConfig{QUIC: cfg, NewApplication: newCaller().app}); err == nil {
				t.Error("connected")
			}
		}, metrics.End{Handshake: true, Cause: metrics.CauseTransport, Code: uint64(quic.CryptoError) + 42}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, net, _, client := watchedPair(t)
				defer p.close(t)
				x.end(t, p, net)
				time.Sleep(10 * time.Second)
				client.mu.Lock()
				defer client.mu.Unlock()
				if client.open != 0 || len(client.ends) != 1 {
					t.Fatalf("%d connections left, %d ended", client.open, len(client.ends))
				}
				got := client.ends[0]
				got.Lifetime, got.MaxBandwidth, got.MaxLoss, got.MaxStreams = 0, 0, 0, 0
				if got != x.client {
					t.Errorf("end %+v, want %+v", got, x.client)
				}
			})
		})
	}
}

func TestMetricsOfRejectedPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, net, server, _ := watchedPair(t)
		defer p.close(t)
		s := net.listen("10.0.0.9:9")
		for _, b := range [][]byte{{0}, append([]byte{0x40}, randomBytes(100)...)} {
			net.mu.Lock()
			net.carry(s.local, p.listener.Addr(), b, 0)
			net.mu.Unlock()
		}
		time.Sleep(time.Second)
		server.mu.Lock()
		defer server.mu.Unlock()
		slices.Sort(server.rejected)
		if want := []string{"not_quic", "sent_stateless_reset"}; !slices.Equal(server.rejected, want) {
			t.Errorf("rejected %v, want %v", server.rejected, want)
		}
	})
}

// The lower layers are heard too.
func TestMetricsOfQueues(t *testing.T) {
	m := newRecorder()
	e := testEndpoint(t, EndpointConfig{Metrics: m, MailboxBytes: 1}, "127.0.0.1:0")
	if _, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	client := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	dropped := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.dropped[metrics.MailboxQueue] > 0
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	go func() {
		for !dropped() && ctx.Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	if _, err := client.Dial(ctx, e.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: newCaller().app}); err == nil {
		t.Fatal("connected by a mailbox of a byte")
	}
	if !dropped() {
		t.Error("nothing dropped")
	}
}

func TestWatchedCostsNothingWhenOff(t *testing.T) {
	var e Endpoint
	if e.newWatched() != nil {
		t.Error("something is measured though nobody asked")
	}
	var o *watched
	if n := testing.AllocsPerRun(100, func() { o.asked(); o.answered(nil); e.rejected(netip.AddrPort{}, "") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
