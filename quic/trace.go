package quic

import (
	"errors"
	"strings"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// tracing tells a tracer what happens on a connection. A connection that is not traced has none: each of the places that call
// here costs it a comparison.
//
// Packets are told where they are sealed and opened, by their plaintext. Of what a connection measures and decides, tracing keeps
// what it told last, and tells what changed at the end of each call of the owner: see observe.
type tracing struct {
	conn   *Conn
	tracer qlog.Tracer
	seen   observed

	// What is told is made here, so that nothing is allocated: tracers borrow it.
	sent     qlog.PacketSent
	received qlog.PacketReceived
	frames   []qlog.Frame
	ranges   []qlog.AckRange
	ids      [4][wire.MaxConnectionIDLen]byte

	acked  []uint64     // packets newly acknowledged by the ACK frame in hand
	marked []qlog.Frame // frames to be sent again since the last observation
	tuples map[Path]int // numbers of the paths that were told of
	// peerUpdated: the peer has used new keys since the last observation.
	peerUpdated bool
}

// startTrace begins to trace a connection attempt, if the config wants it. The second attempt of a client that had to choose
// another version goes into the trace of the first.
func (c *Conn) startTrace(odcid ConnectionID) {
	if c.cfg.NewTracer == nil {
		return
	}
	if c.trace == nil {
		tracer := c.cfg.NewTracer(c.side, odcid)
		if tracer == nil {
			return
		}
		c.trace = &tracing{conn: c, tracer: tracer}
		c.streams.trace = c.trace
	}
	c.rec.Trace()
	c.trace.started()
}

// event tells e, which happened now.
func (t *tracing) event(e qlog.Event) { t.tracer.Event(t.conn.epoch.Time(t.conn.now), e) }

// id returns the bytes of a connection ID, in one of four places.
func (t *tracing) id(place int, id *ConnectionID) []byte {
	return append(t.ids[place][:0], id.Bytes()...)
}

func versionNumbers(versions []Version) []uint32 {
	numbers := make([]uint32, len(versions))
	for i, v := range versions {
		numbers[i] = uint32(v)
	}
	return numbers
}

// started tells how a connection attempt begins.
func (t *tracing) started() {
	c := t.conn
	local, remote := t.endpoints(c.path)
	version := qlog.VersionInformation{Chosen: uint32(c.version)}
	alpn := qlog.ALPNInformation{}
	if c.side == Client {
		version.Client, alpn.Client = versionNumbers(c.cfg.Versions), c.cfg.TLS.NextProtos
	} else {
		version.Server, alpn.Server = versionNumbers(c.cfg.Versions), c.cfg.TLS.NextProtos
	}
	t.event(&qlog.ConnectionStarted{Local: local, Remote: remote})
	t.event(&qlog.TupleAssigned{Local: local, Remote: remote})
	t.tuples = map[Path]int{c.path.addr: 0}
	t.event(&version)
	t.event(&alpn)
	p := recovery.Parameters()
	t.event(&qlog.RecoveryParametersSet{
		ReorderingThreshold: p.PacketThreshold, TimeThreshold: p.TimeThreshold, TimerGranularity: p.Granularity,
		InitialRTT: p.InitialRTT, MaxDatagramSize: minDatagramSize, InitialCongestionWindow: c.rec.Cwnd(),
		MinimumCongestionWindow: 2 * minDatagramSize, PersistentCongestionThreshold: p.PersistentCongestion,
	})
	t.seen = observed{path: c.path, dcid: c.path.dcid, mtu: c.path.mtu.size, ecn: t.seen.ecn}
	t.state(qlog.StateAttempted)
}

// endpoints returns the two ends of a path.
func (t *tracing) endpoints(p *path) (local, remote qlog.Endpoint) {
	c := t.conn
	local.Addr, remote.Addr = p.addr.Local, p.addr.Remote
	if len(c.local.active) > 0 {
		local.ConnectionIDs = [][]byte{c.local.active[0].id.Append(nil)}
	}
	remote.ConnectionIDs = [][]byte{p.dcid.Append(nil)}
	return local, remote
}

// parameters tells the transport parameters of one side.
func (t *tracing) parameters(by qlog.Initiator, tp *wire.TransportParameters) {
	e := qlog.ParametersSet{Initiator: by, Parameters: tracedParameters(tp)}
	p := &e.Parameters
	p.InitialSCID = tp.InitialSCID.Append([]byte{})
	if (by == qlog.Local) == (t.conn.side == Server) {
		p.OriginalDCID = tp.OriginalDCID.Append([]byte{})
		if tp.HasRetrySCID {
			p.RetrySCID = tp.RetrySCID.Append([]byte{})
		}
	}
	t.event(&e)
}

// restored tells the transport parameters that a client remembers for early data.
func (t *tracing) restored(tp *wire.TransportParameters) {
	t.event(&qlog.ParametersRestored{Parameters: tracedParameters(tp)})
}

func tracedParameters(tp *wire.TransportParameters) qlog.Parameters {
	return qlog.Parameters{
		DisableActiveMigration: tp.DisableActiveMigration, MaxIdleTimeout: tp.MaxIdleTimeout,
		MaxUDPPayloadSize: tp.MaxUDPPayloadSize, AckDelayExponent: uint64(tp.AckDelayExponent), MaxAckDelay: tp.MaxAckDelay,
		ActiveConnectionIDLimit: tp.ActiveConnectionIDLimit, InitialMaxData: tp.InitialMaxData,
		InitialMaxStreamDataBidiLocal:  tp.InitialMaxStreamDataBidiLocal,
		InitialMaxStreamDataBidiRemote: tp.InitialMaxStreamDataBidiRemote,
		InitialMaxStreamDataUni:        tp.InitialMaxStreamDataUni,
		InitialMaxStreamsBidi:          tp.InitialMaxStreamsBidi, InitialMaxStreamsUni: tp.InitialMaxStreamsUni,
		MaxDatagramFrameSize: tp.MaxDatagramFrameSize, GreaseQUICBit: tp.GreaseQUICBit, ResetStreamAt: tp.ResetStreamAt,
	}
}

// handshake tells what TLS negotiated.
func (t *tracing) handshake() {
	c := t.conn
	t.event(&qlog.ALPNInformation{Chosen: c.tlsState.NegotiatedProtocol})
	t.event(&qlog.HandshakeParametersSet{
		Resumption: c.tlsState.DidResume, EarlyData: c.earlyState == EarlyDataAccepted,
		Cipher: strings.TrimPrefix(protect.Suite(c.tlsState.CipherSuite).String(), "TLS_"),
	})
	version := qlog.VersionInformation{Chosen: uint32(c.version)}
	t.event(&version)
}

// sending tells of a packet that is about to be sealed. payload are its frames.
func (t *tracing) sending(p *unsealed, payload []byte, size int, flags recovery.Flags) {
	c, e := t.conn, &t.sent
	*e = qlog.PacketSent{
		Header: qlog.PacketHeader{Type: qlog.Packet1RTT, Numbered: true, Number: p.pn},
		Length: size, MTUProbe: flags&recovery.MTUProbe != 0,
		PTOProbe: flags&recovery.AckEliciting != 0 && c.rec.ProbesOwed(p.space) > 0,
	}
	if p.early || p.space != recovery.AppData {
		h := &e.Header
		h.Type, h.Version = longType(p.space), uint32(c.version)
		if p.early {
			h.Version = uint32(c.early.version)
		}
		h.SCID, h.DCID = t.id(0, &c.local.active[0].id), t.id(1, &c.path.dcid)
		if p.space == recovery.Initial {
			h.TokenLen = len(c.hs.token)
		}
	} else {
		e.Header.KeyPhase = c.keys.Updates()
	}
	e.Frames = t.parse(payload, ownAckDelayExponent)
	t.event(e)
}

func longType(space recovery.Space) qlog.PacketType {
	switch space {
	case recovery.Initial:
		return qlog.PacketInitial
	case recovery.Handshake:
		return qlog.PacketHandshake
	}
	return qlog.Packet0RTT
}

// packetReceived tells of a packet that is about to be processed. payload are its frames.
func (t *tracing) packetReceived(in *packetIn, payload []byte) {
	c, e := t.conn, &t.received
	*e = qlog.PacketReceived{
		Header: qlog.PacketHeader{Type: qlog.Packet1RTT, Numbered: true, Number: in.pn},
		Length: in.size, Buffered: in.d.aside,
	}
	if in.typ == wire.OneRTT {
		e.Header.KeyPhase = in.phase
	} else {
		h := &e.Header
		h.Type, h.Version = longType(in.space), uint32(in.version)
		if c.hs != nil && len(c.local.active) > 0 {
			h.SCID, h.DCID = t.id(0, &c.hs.peerSCID), t.id(1, &c.local.active[0].id)
		}
	}
	e.Frames = t.parse(payload, c.rec.PeerAckDelayExponent())
	t.event(e)
}

// fate tells of a received packet of which nothing came, or not yet. b is what is left of its datagram.
func (t *tracing) fate(d *datagramIn, f packetFate, long *wire.LongHeader, b []byte) {
	h := qlog.PacketHeader{Type: qlog.Packet1RTT}
	size := len(b)
	if long != nil {
		h = qlog.PacketHeader{Version: uint32(long.Version), SCID: long.SCID.Append(nil), DCID: long.DCID.Append(nil)}
		size = long.PacketLen
		switch long.Type {
		case wire.Initial:
			h.Type = qlog.PacketInitial
		case wire.ZeroRTT:
			h.Type = qlog.Packet0RTT
		case wire.Handshake:
			h.Type = qlog.PacketHandshake
		default:
			h.Type = qlog.PacketRetry
		}
	}
	switch f {
	case packetAside, packetHeld:
		t.event(&qlog.PacketBuffered{Header: h, Length: len(b)})
	case packetBad, packetDrop:
		why := d.why
		if why == "" {
			why = qlog.DroppedGeneral
		}
		d.why = ""
		t.event(&qlog.PacketDropped{Header: h, Length: size, Trigger: why})
	}
}

// invalid tells of bytes that are no packet.
func (t *tracing) invalid(n int) {
	t.event(&qlog.PacketDropped{Header: qlog.PacketHeader{Type: qlog.PacketUnknown}, Length: n, Trigger: qlog.DroppedInvalid})
}

// retry tells of a Retry packet that is obeyed.
func (t *tracing) retry(p *wire.RetryPacket, size int) {
	t.event(&qlog.PacketReceived{
		Header: qlog.PacketHeader{Type: qlog.PacketRetry, Version: uint32(p.Version), SCID: p.SCID.Append(nil),
			DCID: p.DCID.Append(nil), TokenLen: len(p.Token)},
		Length: size,
	})
}

// versionNegotiation tells of a Version Negotiation packet that is obeyed. chosen is 0 if there is nothing to choose.
func (t *tracing) versionNegotiation(p *wire.VersionNegotiationPacket, size int, chosen Version) {
	versions := make([]uint32, p.Len())
	for i := range versions {
		versions[i] = uint32(p.Version(i))
	}
	t.event(&qlog.PacketReceived{
		Header: qlog.PacketHeader{Type: qlog.PacketVersionNegotiation, SCID: p.SCID, DCID: p.DCID},
		Length: size, Versions: versions,
	})
	t.event(&qlog.VersionInformation{
		Server: versions, Client: versionNumbers(t.conn.cfg.Versions), Chosen: uint32(chosen),
	})
}

// polled tells of what PollTransmit hands out.
func (t *tracing) polled(tr Transmit, ok bool) {
	if ok {
		t.event(&qlog.UDPDatagramsSent{Len: tr.Len, Segment: tr.SegmentSize, ECN: uint8(tr.ECN)})
	}
	t.observe()
}

// PacketAcked implements recovery.Tracer.
func (f *fates) PacketAcked(_ recovery.Space, pn uint64) {
	if f.trace != nil {
		f.trace.acked = append(f.trace.acked, pn)
	}
}

// packetsAcked tells what an ACK frame acknowledged.
func (t *tracing) packetsAcked(space recovery.Space) {
	if len(t.acked) > 0 {
		t.event(&qlog.PacketsAcked{Space: qlog.PacketNumberSpace(space.String()), Numbers: t.acked})
		t.acked = t.acked[:0]
	}
}

// PacketLost implements recovery.Tracer.
func (f *fates) PacketLost(space recovery.Space, pn uint64, flags recovery.Flags, byTime bool) {
	if f.trace == nil {
		return
	}
	e := qlog.PacketLost{Type: qlog.Packet1RTT, Number: pn, MTUProbe: flags&recovery.MTUProbe != 0, Trigger: qlog.LostByReordering}
	if space != recovery.AppData {
		e.Type = longType(space)
	}
	if byTime {
		e.Trigger = qlog.LostByTime
	}
	f.trace.event(&e)
}

// remarked notes a frame that is to be sent again.
func (t *tracing) remarked(f recovery.Frame) {
	q := qlog.Frame{StreamID: f.ID, Offset: f.Offset, Length: int(f.Length), Fin: f.Fin}
	switch f.Type {
	case wire.FrameStream:
		q.Type = qlog.FrameStream
	case wire.FrameCrypto:
		q.Type = qlog.FrameCrypto
	case wire.FrameHandshakeDone:
		q.Type = qlog.FrameHandshakeDone
	case wire.FrameRetireConnectionID:
		q.Type, q.Value = qlog.FrameRetireConnectionID, f.ID
	case wire.FrameMaxData:
		q.Type, q.Value = qlog.FrameMaxData, f.Offset
	case wire.FrameMaxStreamData:
		q.Type, q.Value = qlog.FrameMaxStreamData, f.Offset
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		q.Type, q.Value, q.Uni = qlog.FrameMaxStreams, f.Offset, f.Type == wire.FrameMaxStreamsUni
	default:
		return // not repeated, or with contents that are not kept
	}
	t.marked = append(t.marked, q)
}

// streamState tells that one part of a stream went on to another state.
func (t *tracing) streamState(id StreamID, receiving bool, state qlog.StreamState, by qlog.Initiator) {
	t.event(&qlog.StreamStateUpdated{ID: uint64(id), Receiving: receiving, New: state, Initiator: by})
}

// traceState tells that the part of the stream went on to another state.
func (s *Stream) traceState(receiving bool, state qlog.StreamState, by qlog.Initiator) {
	if t := s.table.trace; t != nil {
		t.streamState(s.id, receiving, state, by)
	}
}

// traceClosed tells that both parts of the stream, or the one that it has, are done.
func (s *Stream) traceClosed() {
	if s.send.state != sendNone {
		s.traceState(false, qlog.StreamClosed, "")
	}
	if s.recv.state != recvNone {
		s.traceState(true, qlog.StreamClosed, "")
	}
}

// traceMoved tells that n bytes of the stream from offset on went from one layer to another.
func (s *Stream) traceMoved(from, to qlog.Location, offset uint64, n int, fin bool) {
	if t := s.table.trace; t != nil {
		t.event(&qlog.StreamDataMoved{ID: uint64(s.id), Offset: offset, Length: n, From: from, To: to, Fin: fin})
	}
}

// traceDatagram tells that an unreliable datagram of n bytes went from one layer to another.
func (c *Conn) traceDatagram(from, to qlog.Location, n int) {
	if c.trace != nil {
		c.trace.event(&qlog.DatagramDataMoved{Length: n, From: from, To: to})
	}
}

// timerExpired tells that the loss detection timer has run out.
func (t *tracing) timerExpired() {
	t.seen.timer = 0
	t.event(&qlog.TimerUpdated{Type: qlog.TimerLossTimeout, Event: qlog.TimerExpired})
}

// ended tells that the connection has ended, and why, and ends the trace.
func (t *tracing) ended(state connState, err error) {
	t.observe()
	e := qlog.ConnectionClosed{Initiator: qlog.Local, Trigger: qlog.CloseError}
	if app, ok := errors.AsType[*ApplicationError](err); ok {
		e.Error, e.Application, e.Code, e.Reason, e.Trigger = true, true, app.Code, app.Reason, qlog.CloseApplication
		if app.Remote {
			e.Initiator = qlog.Remote
		}
	} else if te, ok := errors.AsType[*TransportError](err); ok {
		e.Error, e.Code, e.Reason = true, uint64(te.Code), te.Reason
		if te.Code == NoError {
			e.Trigger = qlog.CloseApplication
		}
		if te.Remote {
			e.Initiator = qlog.Remote
		}
	}
	switch err {
	case ErrIdleTimeout:
		e.Trigger = qlog.CloseIdleTimeout
	case ErrStatelessReset:
		e.Trigger, e.Initiator = qlog.CloseStatelessReset, qlog.Remote
		t.event(&qlog.PacketReceived{Header: qlog.PacketHeader{Type: qlog.PacketStatelessReset}})
	case ErrVersionNegotiation:
		e.Trigger = qlog.CloseVersionMismatch
	case ErrHandshakeTimeout:
		e.Trigger = qlog.CloseAborted
	}
	t.event(&e)
	switch state {
	case stateClosing:
		t.state(qlog.StateClosing)
	case stateDraining:
		t.state(qlog.StateDraining)
	default:
		t.state(qlog.StateClosed)
	}
	t.tracer.Close()
}

// state tells that the connection went on to another state.
func (t *tracing) state(s qlog.ConnectionState) {
	if t.seen.state != s {
		t.event(&qlog.ConnectionStateUpdated{Old: t.seen.state, New: s})
		t.seen.state = s
	}
}

// Traced reports whether somebody hears what happens on the connection: see [Config.NewTracer].
func (c *Conn) Traced() bool { return c.trace != nil }

// Trace tells the connection's tracer of something that the application protocol did, at the time of the call of the owner in
// progress, or of the last one. It does nothing on connections that are not traced; to make an event for nothing can be
// spared by asking Traced first.
func (c *Conn) Trace(e qlog.Event) {
	if c.trace != nil {
		c.trace.event(e)
	}
}
