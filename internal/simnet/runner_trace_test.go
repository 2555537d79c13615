package simnet

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

// trace gathers what an observer sees: what the interop runner's checks look at in the captures of both sides.
type trace struct {
	Observer
	server netip.AddrPort

	negotiations  map[string]bool // Version Negotiation packets as they were sent
	falseVersions bool            // one arrived that was not sent so

	handshakes map[quic.ConnectionID]bool                         // by the server's first connection ID
	versions   [2][6]map[quic.Version]bool                        // by sender and packet type
	retryToken map[string]bool                                    // tokens of Retry packets
	tokenUsed  bool                                               // by an Initial packet
	before     map[quic.ConnectionID]uint64                       // by the client's SCID, the packet number after the largest without a token
	pnReset    bool                                               // an Initial with a token has a packet number of one before
	payload    map[*SeenFlow][2][6]int                            // bytes by sender and packet type
	phases     [2][2]int                                          // 1-RTT packets by sender and key phase
	updates    int                                                // the highest number of key updates seen
	marks      [2][4]int                                          // datagrams by sender and ECN mark
	ackECN     [2]bool                                            // the sender has sent an ACK frame with ECN counts
	otherClose string                                             // a CONNECTION_CLOSE frame with an error
	addrs      map[netip.Addr]bool                                // of either side
	span       map[*SeenFlow][2][2]time.Time                      // the first and the last 1-RTT packet by sender
	paths      map[netip.AddrPort]*seenPath                       // by the client's address
	last       [2]netip.AddrPort                                  // the client's address that the sender used last
	answers    map[[8]byte]bool                                   // PATH_RESPONSE data of the client
	challenges map[[8]byte]bool                                   // PATH_CHALLENGE data of the server
	unasked    []netip.AddrPort                                   // paths whose first packet of the server had no PATH_CHALLENGE
	lastDCID   map[*SeenFlow]map[netip.AddrPort]quic.ConnectionID // of the client, by path
}

// seenPath is what the server may send to a client's address, and has sent.
type seenPath struct {
	received, sent int
	validated      bool
}

func (w *World) observe(t *testing.T) *trace {
	tr := &trace{
		negotiations: map[string]bool{},
		handshakes:   map[quic.ConnectionID]bool{}, retryToken: map[string]bool{}, payload: map[*SeenFlow][2][6]int{},
		before: map[quic.ConnectionID]uint64{}, addrs: map[netip.Addr]bool{},
		span: map[*SeenFlow][2][2]time.Time{}, paths: map[netip.AddrPort]*seenPath{},
		answers: map[[8]byte]bool{}, challenges: map[[8]byte]bool{},
	}
	tr.Packet, tr.Datagram, tr.Arrived = tr.packet, tr.datagram, tr.arrived
	w.Observer = &tr.Observer
	return tr
}

func (tr *trace) packet(p *SeenPacket) {
	from := p.From
	if tr.versions[from][p.Type] == nil {
		tr.versions[from][p.Type] = map[quic.Version]bool{}
	}
	tr.versions[from][p.Type][p.Version] = true
	switch {
	case p.Type == wire.Initial && from == quic.Server:
		tr.handshakes[p.SCID] = true
	case p.Type == wire.Initial && len(p.Token) == 0:
		tr.before[p.SCID] = max(tr.before[p.SCID], p.PN+1)
	case p.Type == wire.Initial:
		tr.tokenUsed = tr.tokenUsed || tr.retryToken[string(p.Token)]
		tr.pnReset = tr.pnReset || p.PN < tr.before[p.SCID]
	case p.Type == wire.VersionNegotiation:
		tr.negotiations[string(p.Data)] = true
	case p.Type == wire.Retry:
		tr.retryToken[string(p.Token)] = true
	case p.Type == wire.OneRTT:
		tr.updates = max(tr.updates, p.Updates)
		bit := 0
		if p.KeyPhase {
			bit = 1
		}
		tr.phases[from][bit]++
		span := tr.span[p.Flow]
		if span[from][0].IsZero() {
			span[from][0] = p.At
		}
		span[from][1] = p.At
		tr.span[p.Flow] = span
	}
	if p.Flow != nil {
		sizes := tr.payload[p.Flow]
		sizes[from][p.Type] += len(p.Payload)
		tr.payload[p.Flow] = sizes
	}
	challenged := false
	for t, frame := range tr.Frames(p) {
		switch t {
		case wire.FrameAckECN:
			tr.ackECN[from] = true
		case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
			f, _ := wire.ParseConnectionClose(frame)
			// RFC 9000, Section 10.2.3: packets other than 1-RTT don't tell the application's code.
			hidden := p.Type != wire.OneRTT && t == wire.FrameConnectionClose && f.Code == uint64(quic.ApplicationErrorCode)
			if !hidden && (t != wire.FrameConnectionCloseApp || f.Code != 0) {
				tr.otherClose = fmt.Sprintf("%v of the %v in a %v packet, code %#x", t, from, p.Type, f.Code)
			}
		case wire.FramePathChallenge:
			data, _ := wire.ParsePathChallenge(frame)
			if from == quic.Server {
				challenged = true
				tr.challenges[data] = true
			}
		case wire.FramePathResponse:
			data, _ := wire.ParsePathResponse(frame)
			if from == quic.Client {
				tr.answers[data] = true
			}
		}
	}
	// The runner looks at the first packet that a server sends to an address that it has not sent to before.
	if from == quic.Server && p.Flow != nil {
		if _, ok := tr.sentTo(p.To); !ok && tr.last[quic.Server].IsValid() && !challenged && p.Type == wire.OneRTT {
			tr.unasked = append(tr.unasked, p.To)
		}
		tr.last[quic.Server] = p.To
	}
}

func (tr *trace) sentTo(client netip.AddrPort) (*seenPath, bool) {
	p := tr.paths[client]
	return p, p != nil && p.sent > 0
}

func (tr *trace) path(client netip.AddrPort) *seenPath {
	p := tr.paths[client]
	if p == nil {
		p = &seenPath{}
		tr.paths[client] = p
	}
	return p
}

func (tr *trace) datagram(d *SeenDatagram) {
	from, client := quic.Client, d.From
	if d.From == tr.server {
		from, client = quic.Server, d.To
	}
	tr.marks[from][d.ECN]++
	tr.addrs[d.From.Addr()], tr.addrs[d.To.Addr()] = true, true
	if from == quic.Server {
		p := tr.path(client)
		p.sent += len(d.Data)
		// RFC 9000, Section 8.1: three times what came, until the client is known to be there.
		if !p.validated && p.sent > 3*p.received {
			tr.fail("the server sent %d bytes to %v, from where %d bytes came", p.sent, client, p.received)
		}
	}
}

// arrived hears of a datagram that reaches a host: what a server gets is what it may count on.
func (tr *trace) arrived(d *SeenDatagram) {
	if d.To != tr.server {
		_, ok := wire.ParseVersionNegotiation(d.Data)
		tr.falseVersions = tr.falseVersions || ok && !tr.negotiations[string(d.Data)]
		return
	}
	p := tr.path(d.From)
	p.received += len(d.Data)
	if h, ok := wire.ParseLong(d.Data); ok && h.Type == wire.Initial && tr.retryToken[string(h.Token)] {
		p.validated = true
	}
	// A 1-RTT packet proves as much as a Handshake packet, but on a path that the handshake did not use.
	p.validated = p.validated || hasHandshakePacket(d.Data) || len(tr.handshakes) > 0 && !wire.IsLong(d.Data[0])
}

// just reports whether a set has one member, and that is v.
func just(set map[quic.Version]bool, v quic.Version) bool { return len(set) == 1 && set[v] }
