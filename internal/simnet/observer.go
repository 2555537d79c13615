package simnet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

// Observer listens on the network: it sees every datagram as it leaves its sender, and reads what is in it with the keys
// that it finds in the TLS key log. It believes no endpoint, and what it can't make sense of fails the world.
//
// Set it as [World.Observer] before the first host sends, and as the KeyLogWriter of the TLS configs.
type Observer struct {
	// Packet hears of every packet, Datagram of every datagram after its packets. What they are given is theirs only
	// during the call.
	Packet   func(p *SeenPacket)
	Datagram func(d *SeenDatagram)
	// Arrived hears of every datagram that reaches a host, without its packets: it may be damaged.
	Arrived func(d *SeenDatagram)

	// Unknown counts packets with a short header whose connection ID nobody issued.
	Unknown int
	// Ignore are hosts that the observer does not listen to.
	Ignore map[netip.AddrPort]bool

	world *World
	flows []*SeenFlow
	byCID map[quic.ConnectionID]*SeenFlow
	keys  map[keyName][]byte
}

// keyName names a secret of the key log: its label, and the connection by its client's random value.
type keyName struct{ label, random string }

// SeenDatagram is a datagram on the network. Its data are for the time of the call.
type SeenDatagram struct {
	At       time.Time
	From, To netip.AddrPort
	ECN      quic.ECN
	Data     []byte
}

// SeenPacket is a packet in a datagram.
type SeenPacket struct {
	*SeenDatagram
	Flow    *SeenFlow
	From    quic.Side
	Type    wire.PacketType
	Version quic.Version // 0 for 1-RTT
	DCID    quic.ConnectionID
	SCID    quic.ConnectionID // not for 1-RTT
	Token   []byte
	PN      uint64
	// Payload is what was protected. Retry and Version Negotiation have none.
	Payload []byte
	// KeyPhase is the bit of a 1-RTT packet, Updates how many key updates its key is away from the first one.
	KeyPhase bool
	Updates  int
}

// shortDCIDLen is the length of the connection IDs that both sides issue here.
const shortDCIDLen = 8

// Write makes the observer the KeyLogWriter of a tls.Config.
func (o *Observer) Write(line []byte) (int, error) {
	f := strings.Fields(string(line))
	if len(f) != 3 {
		return 0, fmt.Errorf("simnet: key log line %q", line)
	}
	secret, err := hex.DecodeString(f[2])
	if err != nil {
		return 0, err
	}
	if o.keys == nil {
		o.keys = map[keyName][]byte{}
	}
	o.keys[keyName{f[0], f[1]}] = secret
	return len(line), nil
}

// Flows returns the connections seen, in the order of their first packets.
func (o *Observer) Flows() []*SeenFlow { return o.flows }

// sent takes in a datagram that leaves its sender.
func (o *Observer) sent(w *World, from, to netip.AddrPort, ecn quic.ECN, data []byte) {
	if o.Ignore[from] || o.Ignore[to] {
		return
	}
	o.world = w
	d := &SeenDatagram{w.now, from, to, ecn, data}
	rest := bytes.Clone(data)
	for len(rest) > 0 {
		n := o.packet(d, rest)
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	if o.Datagram != nil {
		o.Datagram(d)
	}
}

// packet reads the packet that b begins with, and returns its length, or 0 if there is nothing more to read.
func (o *Observer) packet(d *SeenDatagram, b []byte) int {
	if !wire.IsLong(b[0]) {
		o.short(d, b)
		return 0
	}
	if _, ok := wire.ParseVersionNegotiation(b); ok {
		inv, _ := wire.ParseInvariant(b, 0)
		o.tell(&SeenPacket{
			SeenDatagram: d, Type: wire.VersionNegotiation, From: quic.Server,
			DCID: wire.NewConnectionID(inv.DCID), SCID: wire.NewConnectionID(inv.SCID),
		})
		return 0
	}
	h, ok := wire.ParseLong(b)
	if !ok {
		o.fail("a long header that can't be read: %x", b[:min(len(b), 20)])
		return 0
	}
	p := &SeenPacket{
		SeenDatagram: d, Type: h.Type, Version: h.Version, DCID: h.DCID, SCID: h.SCID, Token: h.Token,
	}
	p.Flow = o.byCID[h.DCID]
	if p.Flow == nil && (h.Type == wire.Initial || h.Type == wire.ZeroRTT) {
		p.Flow = o.begin(&h)
	}
	if p.Flow == nil {
		o.fail("%v packet to the unknown connection ID %v", h.Type, h.DCID)
		return 0
	}
	p.From = p.Flow.sender(&h)
	o.know(h.SCID, p.Flow)
	if h.Type == wire.Retry {
		p.Flow.retries = append(p.Flow.retries, h.SCID)
		o.tell(p)
		return 0
	}
	keys := p.Flow.longKeys(o, &h, p.From)
	if keys == nil {
		o.fail("no key for a %v packet of the %v", h.Type, p.From)
		return 0
	}
	space := p.Flow.space(h.Type, p.From)
	if p.PN, p.Payload, ok = keys.open(b[:h.PacketLen], h.PNOffset, *space); !ok {
		o.fail("%v packet of the %v does not open", h.Type, p.From)
		return 0
	}
	*space = max(*space, p.PN+1)
	o.tell(p)
	return h.PacketLen
}

// short reads a 1-RTT packet, which takes the rest of the datagram.
func (o *Observer) short(d *SeenDatagram, b []byte) {
	if len(b) < 1+shortDCIDLen {
		o.fail("a packet of %d bytes", len(b))
		return
	}
	p := &SeenPacket{SeenDatagram: d, Type: wire.OneRTT, DCID: wire.NewConnectionID(b[1 : 1+shortDCIDLen])}
	if p.Flow = o.byCID[p.DCID]; p.Flow == nil {
		o.Unknown++ // a stateless reset, maybe (RFC 9000, Section 10.3)
		return
	}
	p.From = p.Flow.issuer[p.DCID].Peer()
	space := p.Flow.space(wire.OneRTT, p.From)
	if !p.Flow.openShort(o, p, b, *space) {
		o.fail("1-RTT packet of the %v does not open", p.From)
		return
	}
	*space = max(*space, p.PN+1)
	o.tell(p)
}

// begin notes a new connection by its client's first packet.
func (o *Observer) begin(h *wire.LongHeader) *SeenFlow {
	f := &SeenFlow{
		ODCID: h.DCID, ClientSCID: h.SCID, initialID: h.DCID,
		issuer: map[quic.ConnectionID]quic.Side{h.DCID: quic.Server, h.SCID: quic.Client},
	}
	o.flows = append(o.flows, f)
	o.know(h.DCID, f)
	return f
}

func (o *Observer) know(id quic.ConnectionID, f *SeenFlow) {
	if o.byCID == nil {
		o.byCID = map[quic.ConnectionID]*SeenFlow{}
	}
	o.byCID[id] = f
}

// tell notes what a packet teaches about its connection, and hands it on.
func (o *Observer) tell(p *SeenPacket) {
	if p.Payload != nil {
		for t, frame := range o.Frames(p) {
			switch t {
			case wire.FrameCrypto:
				f, _ := wire.ParseCrypto(frame)
				p.Flow.crypto(p, &f)
			case wire.FrameNewConnectionID:
				f, _ := wire.ParseNewConnectionID(frame)
				p.Flow.issuer[f.ID] = p.From
				o.know(f.ID, p.Flow)
			}
		}
		if tp := p.Flow.Parameters; tp != nil && tp.Preferred != nil {
			p.Flow.issuer[tp.Preferred.ID] = quic.Server
			o.know(tp.Preferred.ID, p.Flow)
		}
	}
	if o.Packet != nil {
		o.Packet(p)
	}
}

// Frames yields the frames of a packet but for padding.
func (o *Observer) Frames(p *SeenPacket) func(yield func(wire.FrameType, []byte) bool) {
	return func(yield func(wire.FrameType, []byte) bool) {
		rest := p.Payload
		for len(rest) > 0 {
			t, _, _ := wire.ParseFrameType(rest)
			n := wire.FrameLen(rest)
			if n <= 0 {
				o.fail("%v packet of the %v has a %v that can't be read", p.Type, p.From, t)
				return
			}
			if t != wire.FramePadding && !yield(t, rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

func (o *Observer) fail(format string, args ...any) {
	o.world.fail("observer: "+format, args...)
}

// arrived tells of a datagram that reaches a host.
func (o *Observer) arrived(w *World, a *arrival) {
	if o.Arrived == nil || o.Ignore[a.from] || o.Ignore[a.to] {
		return
	}
	for one := range slices.Chunk(a.data, max(a.segment, 1)) {
		o.Arrived(&SeenDatagram{w.now, a.from, a.to, a.ecn, one})
	}
}
