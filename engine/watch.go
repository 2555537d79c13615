package engine

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/udp"
)

// watched is what is measured of a connection for EndpointConfig.Metrics and Audit. Without them a worker has none.
type watched struct {
	metrics   metrics.Metrics
	scheduled atomic.Int64 // when a goroutine was asked to run a step, in ns since the endpoint began; 0 if none was
	opened    bool         // ConnectionOpened was called

	// Owned by whoever runs the step.
	usage      usage
	told       int64 // of the bandwidth in use
	maxStreams int
	arrived    time.Time // when the first packet of a handshake came that is still to be answered
}

// newWatched returns nil if nobody wants to know anything.
func (e *Endpoint) newWatched() *watched {
	switch {
	case e.cfg.Metrics != nil:
		return &watched{metrics: e.cfg.Metrics}
	case e.cfg.Audit:
		return &watched{metrics: metrics.Base{}}
	}
	return nil
}

// opens tells of a connection that came to be.
func (w *worker) opens() {
	if o := w.watched; o != nil {
		o.opened = true
		o.metrics.ConnectionOpened(w.names())
	}
}

// names says which connection is meant, so far as is known.
func (w *worker) names() metrics.Connection {
	c := metrics.Connection{Server: w.l != nil}
	switch {
	case w.audit != nil:
		c.Protocol = w.audit.Protocol
	case w.conn != nil:
		c.Protocol = w.conn.ConnectionState().NegotiatedProtocol
	}
	return c
}

// asked remembers when a goroutine was asked to run the next step.
func (o *watched) asked() {
	if o != nil {
		o.scheduled.CompareAndSwap(0, time.Now().UnixNano())
	}
}

// watchedStep is step, measured.
func (w *worker) watchedStep(rounds int) int {
	o := w.watched
	began := time.Now()
	var delay time.Duration
	if at := o.scheduled.Swap(0); at != 0 {
		delay = max(0, time.Duration(began.UnixNano()-at))
	}
	rounds = w.step(rounds)
	now := time.Now()
	o.metrics.StepRan(now.Sub(began), delay)
	if w.conn != nil {
		o.maxStreams = max(o.maxStreams, w.conn.OpenStreams())
		o.use(now, w)
	}
	return rounds
}

// use measures the bandwidth in use.
func (o *watched) use(now time.Time, w *worker) {
	u := &o.usage
	switch {
	case u.began.IsZero():
		u.begin(now)
	case u.due(now):
		st := w.conn.Stats()
		u.update(now, &st)
		o.tell(int64(u.bandwidth))
	}
}

// tell tells of the bandwidth in use what has changed.
func (o *watched) tell(bandwidth int64) {
	if bandwidth != o.told {
		o.metrics.BandwidthChanged(bandwidth - o.told)
		o.told = bandwidth
	}
}

// receiveWatched passes a packet of a handshake to the connection, and measures how long it waited and took.
func (w *worker) receiveWatched(now time.Time, p *packet) {
	o := w.watched
	if !p.in.Received.IsZero() {
		o.metrics.HandshakeStep(w.names(), metrics.HandshakeQueue, max(0, now.Sub(p.in.Received)))
		if o.arrived.IsZero() {
			o.arrived = p.in.Received
		}
	}
	began := time.Now()
	w.conn.Receive(now, p.in)
	o.metrics.HandshakeStep(w.names(), metrics.HandshakeProtocol, time.Since(began))
}

// answered is called when a round has sent what there was to send.
func (o *watched) answered(w *worker) {
	if o != nil && !o.arrived.IsZero() {
		o.metrics.HandshakeStep(w.names(), metrics.HandshakeResponse, max(0, time.Since(o.arrived)))
		o.arrived = time.Time{}
	}
}

// handshakeDone tells of a complete handshake.
func (w *worker) handshakeDone() {
	if o := w.watched; o != nil {
		o.metrics.HandshakeDone(w.names(), w.conn.Stats().HandshakeTime)
	}
}

// closes tells that nothing is left of the connection.
func (w *worker) closes() {
	o := w.watched
	if o == nil || !o.opened {
		return
	}
	o.tell(0)
	a := w.audit
	end := metrics.End{
		Handshake: !w.complete, Remote: a.Received != nil, Cause: a.Cause, Lifetime: a.Lifetime,
		MaxBandwidth: a.MaxBandwidth, MaxLoss: a.MaxLoss, MaxStreams: a.MaxStreams,
	}
	if r := a.Sent; r != nil {
		end.Code = r.Code
	} else if r := a.Received; r != nil {
		end.Code = r.Code
	}
	o.metrics.ConnectionClosed(w.names(), end)
}

// rejected tells of a datagram that began no connection.
func (e *Endpoint) rejected(remote netip.AddrPort, reason string) {
	if e.cfg.Metrics != nil {
		e.cfg.Metrics.PacketRejected(remote.Addr(), reason)
	}
}

// socketObserver passes on what a socket tells.
type socketObserver struct{ m metrics.Metrics }

func (o socketObserver) SendWaited(d time.Duration) { o.m.SendBlocked(d) }
func (o socketObserver) SendFailed(reason string)   { o.m.SendFailed(reason) }
func (o socketObserver) ReceiveDropped(n uint64)    { o.m.PacketsDropped(metrics.SocketQueue, n) }

// observe has a socket tell what it knows, if it can.
func (e *Endpoint) observe(s udp.Socket) {
	if o, ok := s.(udp.Observable); ok && e.cfg.Metrics != nil {
		o.Observe(socketObserver{e.cfg.Metrics})
	}
}
