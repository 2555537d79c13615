package quic

import (
	"strconv"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/qlog"
)

// observed is what tracing told last.
type observed struct {
	state      qlog.ConnectionState
	metrics    qlog.Metrics
	congestion string
	ecn        qlog.ECNState
	mtu        int
	timer      monotime.Time
	path       *path
	dcid       ConnectionID
	validating bool // path is being validated
	keys       [recovery.AppData]bool
	early, app bool // there are 0-RTT, 1-RTT keys
	updates    uint64
	previous   bool // the 1-RTT keys before the last update are kept
}

// observe tells what changed since the last time.
func (t *tracing) observe() {
	c := t.conn
	if c.state != stateActive {
		return
	}
	if len(t.marked) > 0 {
		t.event(&qlog.MarkedForRetransmit{Frames: t.marked})
		t.marked = t.marked[:0]
	}
	t.observeState()
	t.observeKeys()
	t.observePath()
	t.observeRecovery()
}

// observeState tells each state that the handshake went through, also if it did so within one call.
func (t *tracing) observeState() {
	c := t.conn
	if t.seen.state == qlog.StateAttempted && (c.hs == nil || c.hs.spaces[recovery.Handshake].sealer != nil || c.complete) {
		t.state(qlog.StateHandshakeStarted)
	}
	if t.seen.state == qlog.StateHandshakeStarted && !c.complete && c.answersEarly() {
		t.state(qlog.StateEarlyWrite)
	}
	if c.complete && (t.seen.state == qlog.StateHandshakeStarted || t.seen.state == qlog.StateEarlyWrite) {
		t.state(qlog.StateHandshakeComplete)
	}
	if c.confirmed {
		t.state(qlog.StateHandshakeConfirmed)
	}
}

// observeKeys tells which keys came and went. The sides' keys of one level do so together, or nearly so.
func (t *tracing) observeKeys() {
	c, seen := t.conn, &t.seen
	types := [recovery.AppData][2]qlog.KeyType{
		{qlog.ClientInitialSecret, qlog.ServerInitialSecret}, {qlog.ClientHandshakeSecret, qlog.ServerHandshakeSecret},
	}
	for s := range types {
		t.observeKey(&seen.keys[s], c.hs != nil && c.hs.spaces[s].sealer != nil, types[s][:])
	}
	t.observeKey(&seen.early, c.early != nil && (c.early.sealer != nil || c.early.opener != nil), []qlog.KeyType{qlog.Client0RTTSecret})
	oneRTT := []qlog.KeyType{qlog.Client1RTTSecret, qlog.Server1RTTSecret}
	t.observeKey(&seen.app, c.keys.CanSend() && c.keys.CanReceive(), oneRTT)
	if updates := c.keys.Updates(); updates != seen.updates {
		trigger := qlog.KeysByLocalUpdate
		if t.peerUpdated {
			trigger = qlog.KeysByRemoteUpdate
		}
		seen.updates = updates
		for _, k := range oneRTT {
			t.event(&qlog.KeyUpdated{Type: k, Phase: updates, Trigger: trigger})
		}
	}
	t.peerUpdated = false
	if previous := c.keys.HasPrevious(); previous != seen.previous {
		seen.previous = previous
		if !previous && seen.updates > 0 {
			for _, k := range oneRTT {
				t.event(&qlog.KeyDiscarded{Type: k, Phase: seen.updates - 1})
			}
		}
	}
}

func (t *tracing) observeKey(seen *bool, now bool, types []qlog.KeyType) {
	if *seen == now {
		return
	}
	*seen = now
	for _, k := range types {
		if now {
			t.event(&qlog.KeyUpdated{Type: k, Trigger: qlog.KeysByTLS})
		} else {
			t.event(&qlog.KeyDiscarded{Type: k, Trigger: qlog.KeysByTLS})
		}
	}
}

// observePath tells how the path in use changed.
func (t *tracing) observePath() {
	c, seen := t.conn, &t.seen
	p := c.path
	if seen.dcid != p.dcid {
		t.event(&qlog.ConnectionIDUpdated{Initiator: qlog.Remote, Old: t.id(2, &seen.dcid), New: t.id(3, &p.dcid)})
		seen.dcid = p.dcid
	}
	if seen.path != p {
		t.migration(qlog.MigrationStarted, p)
		seen.path, seen.validating = p, true
	}
	if seen.validating && (p.validated || p.challenge == nil) {
		seen.validating = false
		if p.validated {
			t.migration(qlog.MigrationComplete, p)
		} else {
			t.migration(qlog.MigrationAbandoned, p)
		}
	}
	if seen.mtu != p.mtu.size {
		t.event(&qlog.MTUUpdated{Old: seen.mtu, New: p.mtu.size, Done: p.mtu.ceiling-p.mtu.size < mtuGrain})
		seen.mtu = p.mtu.size
	}
}

// tuple returns the name of a path: that of the handshake has none, others have numbers. The first time that a path is named, it
// is told which one it is.
func (t *tracing) tuple(p *path) string {
	n, known := t.tuples[p.addr]
	if !known {
		n = len(t.tuples)
		if len(t.tuples) < maxTuples {
			t.tuples[p.addr] = n
		}
		local, remote := t.endpoints(p)
		t.event(&qlog.TupleAssigned{ID: strconv.Itoa(n), Local: local, Remote: remote})
	}
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// maxTuples bounds the paths whose numbers are kept: a peer that is seen at more addresses has the last number again and again.
const maxTuples = 64

func (t *tracing) migration(s qlog.MigrationState, p *path) {
	id := t.tuple(p)
	local, remote := t.endpoints(p)
	t.event(&qlog.MigrationStateUpdated{New: s, TupleID: id, Local: local, Remote: remote})
}

// pathEvent tells what the owner hears of paths, as far as observePath does not.
func (t *tracing) pathEvent(k PathEventKind, p *path) {
	switch k {
	case PathProbed:
		t.migration(qlog.ProbingStarted, p)
	case PathValidated:
		t.migration(qlog.ProbingSuccessful, p)
	case PathFailed:
		t.migration(qlog.ProbingAbandoned, p)
	}
}

// observeRecovery tells what loss detection and congestion control measured and decided.
func (t *tracing) observeRecovery() {
	c, seen := t.conn, &t.seen
	m := qlog.Metrics{
		MinRTT: c.rec.MinRTT(), SmoothedRTT: c.rec.SRTT(), LatestRTT: c.rec.LatestRTT(), RTTVariance: c.rec.RTTVar(),
		PTOCount: c.rec.PTOCount(), CongestionWindow: c.rec.Cwnd(), BytesInFlight: c.rec.InFlight(),
		PacingRate: 8 * c.rec.PacingRate(),
	}
	if m != seen.metrics {
		t.event(&qlog.RecoveryMetricsUpdated{Old: seen.metrics, New: m})
		seen.metrics = m
	}
	if s := c.rec.CongestionState(); s != seen.congestion {
		t.event(&qlog.CongestionStateUpdated{Old: seen.congestion, New: s})
		seen.congestion = s
	}
	if s := qlog.ECNState(c.rec.ECNState()); s != seen.ecn {
		t.event(&qlog.ECNStateUpdated{Old: seen.ecn, New: s})
		seen.ecn = s
	}
	if at := c.rec.Timeout(); at != seen.timer {
		e := qlog.TimerUpdated{Type: qlog.TimerLossTimeout, Event: qlog.TimerCancelled}
		if !at.IsZero() {
			e.Event, e.Delta = qlog.TimerSet, max(at.Sub(c.now), 0)
		}
		t.event(&e)
		seen.timer = at
	}
}
