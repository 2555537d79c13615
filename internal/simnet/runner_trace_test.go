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

	handshakes map[quic.ConnectionID]bool    // by the server's first connection ID
	versions   [2][6]map[quic.Version]bool   // by sender and packet type
	retryToken map[string]bool               // tokens of Retry packets
	tokenUsed  bool                          // by an Initial packet
	before     map[quic.ConnectionID]uint64  // by the client's SCID, the packet number after the largest without a token
	pnReset    bool                          // an Initial with a token has a packet number of one before
	payload    map[*SeenFlow][2][6]int       // bytes by sender and packet type
	phases     [2][2]int                     // 1-RTT packets by sender and key phase
	updates    int                           // the highest number of key updates seen
	marks      [2][4]int                     // datagrams by sender and ECN mark
	ackECN     [2]bool                       // the sender has sent an ACK frame with ECN counts
	routes     map[route]bool                // which paths were used, by either side
	dcids      map[quic.ConnectionID]bool    // that the client used
	reused     []route                       // paths on which the client began with a connection ID of another one
	closeCode  uint64                        // what connections are to end with
	otherClose string                        // a CONNECTION_CLOSE frame with another code
	addrs      map[netip.Addr]bool           // of either side
	span       map[*SeenFlow][2][2]time.Time // the first and the last 1-RTT packet by sender
	paths      map[netip.AddrPort]*seenPath  // by the client's address
	answers    map[[8]byte]bool              // PATH_RESPONSE data of the client
	challenges map[[8]byte]bool              // PATH_CHALLENGE data of the first packets on new paths
	asked      map[[8]byte]netip.AddrPort    // where PATH_CHALLENGE data went
	unasked    []route                       // paths on which the server began without a PATH_CHALLENGE
}

// route is where a datagram comes from, and where it goes.
type route struct{ from, to netip.AddrPort }

// seenPath is what the server may send to a client's address, and has sent.
type seenPath struct {
	received, sent int
	validated      bool
}

func (w *World) observe(t *testing.T) *trace {
	tr := &trace{
		negotiations: map[string]bool{}, routes: map[route]bool{}, dcids: map[quic.ConnectionID]bool{},
		handshakes: map[quic.ConnectionID]bool{}, retryToken: map[string]bool{}, payload: map[*SeenFlow][2][6]int{},
		before: map[quic.ConnectionID]uint64{}, addrs: map[netip.Addr]bool{},
		span: map[*SeenFlow][2][2]time.Time{}, paths: map[netip.AddrPort]*seenPath{},
		answers: map[[8]byte]bool{}, asked: map[[8]byte]netip.AddrPort{}, challenges: map[[8]byte]bool{},
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
	challenged, challenge := false, [8]byte{}
	for t, frame := range tr.Frames(p) {
		switch t {
		case wire.FrameAckECN:
			tr.ackECN[from] = true
		case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
			f, _ := wire.ParseConnectionClose(frame)
			// RFC 9000, Section 10.2.3: packets other than 1-RTT don't tell the application's code.
			hidden := p.Type != wire.OneRTT && t == wire.FrameConnectionClose && f.Code == uint64(quic.ApplicationErrorCode)
			if !hidden && (t != wire.FrameConnectionCloseApp || f.Code != tr.closeCode) {
				tr.otherClose = fmt.Sprintf("%v of the %v in a %v packet, code %#x", t, from, p.Type, f.Code)
			}
		case wire.FramePathChallenge:
			challenge, _ = wire.ParsePathChallenge(frame)
			challenged = true
			tr.asked[challenge] = p.To
		case wire.FramePathResponse:
			data, _ := wire.ParsePathResponse(frame)
			if from == quic.Client {
				tr.answers[data] = true
				// RFC 9000, Section 8.2.3: it is the path of the challenge that is validated, by any path.
				if to, ok := tr.asked[data]; ok {
					tr.path(to).validated = true
				}
			}
		}
	}
	// RFC 9000, Section 9.5: a client that moves on purpose does so with another connection ID.
	if from == quic.Client && p.Type == wire.OneRTT {
		r := route{p.SeenDatagram.From, p.To}
		if !tr.routes[r] && tr.dcids[p.DCID] {
			tr.reused = append(tr.reused, r)
		}
		tr.dcids[p.DCID] = true
	}
	// What the server sends first to an address that it has not sent to before begins with a PATH_CHALLENGE.
	if from == quic.Server && p.Flow != nil && p.Type == wire.OneRTT {
		switch {
		case tr.routes[route{p.SeenDatagram.From, p.To}]:
		case challenged:
			tr.challenges[challenge] = true
		default:
			tr.unasked = append(tr.unasked, route{p.SeenDatagram.From, p.To})
		}
	}
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
	tr.routes[route{d.From, d.To}] = true
	from, client := quic.Client, d.From
	if d.From.Port() == tr.server.Port() {
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
	if d.To.Port() != tr.server.Port() {
		_, ok := wire.ParseVersionNegotiation(d.Data)
		tr.falseVersions = tr.falseVersions || ok && !tr.negotiations[string(d.Data)]
		return
	}
	p := tr.path(d.From)
	p.received += len(d.Data)
	if h, ok := wire.ParseLong(d.Data); ok && h.Type == wire.Initial && tr.retryToken[string(h.Token)] {
		p.validated = true
	}
	p.validated = p.validated || hasHandshakePacket(d.Data)
}

// just reports whether a set has one member, and that is v.
func just(set map[quic.Version]bool, v quic.Version) bool { return len(set) == 1 && set[v] }
