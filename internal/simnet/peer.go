package simnet

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

// App is the application on one connection. Its methods may use the connection freely.
type App interface {
	// Start is called once, before the handshake: an application may wait for EventEstablished.
	Start(p *Peer)
	// Event is called for every event of the connection.
	Event(p *Peer, e quic.Event)
}

// Peer is one connection with its application, at one end of the simulated network.
type Peer struct {
	World *World
	Conn  *quic.Conn
	App   App
	// Err is why the connection ended, once it has.
	Err error
	// Closed and Drained say that the connection has told so.
	Closed, Drained bool

	side      quic.Side
	alarm     *event
	alarmAt   time.Time
	onAlarm   func() // p.timeout, bound once
	onCID     func(quic.EndpointEvent)
	sent      uint64 // UDP payload bytes that left, and arrived
	received  uint64
	validated bool
	inPump    bool
}

// sendBuffer is what a GSO send can hold.
const sendBuffer = 65507

// maxSegments is how many datagrams a peer asks of the core at a time.
const maxSegments = 16

// Pump drains the connection in the order that package quic documents: transmits, timeouts, endpoint events, events. A
// test that used the connection outside of its App calls it afterwards.
func (p *Peer) Pump() {
	if p.inPump {
		return
	}
	if p.Drained {
		p.World.leave()
		return
	}
	p.inPump = true
	defer func() { p.inPump = false }()
	p.World.enter()
	buf := p.World.sendBuf
	for {
		for {
			t, ok := p.Conn.PollTransmit(p.World.now, buf, maxSegments)
			if !ok {
				break
			}
			p.World.leave()
			p.transmit(t, buf[:t.Len])
			p.World.enter()
		}
		for e := p.Conn.NextEndpointEvent(); e.Kind != quic.EndpointNone; e = p.Conn.NextEndpointEvent() {
			if e.Kind == quic.EndpointDrained {
				p.Drained = true
			}
			p.onCID(e)
		}
		acted := false
		for e := p.Conn.NextEvent(); e.Kind != quic.EventNone; e = p.Conn.NextEvent() {
			acted = true
			if p.Closed {
				p.World.fail("%v: event %d after the connection closed", p.side, e.Kind)
			}
			if e.Kind == quic.EventClosed {
				p.Closed, p.Err = true, e.Err
			}
			p.App.Event(p, e)
		}
		if !acted {
			break
		}
	}
	at, ok := p.Conn.NextTimeout()
	p.World.leave()
	p.setAlarm(at, ok)
}

// transmit hands what the core wrote to the link, after checking it.
func (p *Peer) transmit(t quic.Transmit, data []byte) {
	if t.Len == 0 || t.SegmentSize <= 0 || (t.Len+t.SegmentSize-1)/t.SegmentSize > maxSegments {
		p.World.fail("%v: transmit of %d bytes in segments of %d", p.side, t.Len, t.SegmentSize)
		return
	}
	for len(data) > 0 {
		n := min(t.SegmentSize, len(data))
		p.sent += uint64(n)
		// RFC 9000, Section 8.1: a server sends at most three times what it received until the address is validated.
		if !p.validated && p.sent > 3*p.received {
			p.World.fail("server sent %d bytes after %d received, before the client's address was validated",
				p.sent, p.received)
		}
		p.World.send(t.Path.Local, t.Path.Remote, t.ECN, data[:n])
		data = data[n:]
	}
}

func (p *Peer) setAlarm(at time.Time, ok bool) {
	if p.Drained {
		ok = false
	}
	if p.alarm != nil {
		if ok && at.Equal(p.alarmAt) {
			return
		}
		p.alarm.do = nil
		p.alarm = nil
	}
	if !ok {
		return
	}
	if at.Before(p.World.now) {
		at = p.World.now
	}
	if p.onAlarm == nil {
		p.onAlarm = p.timeout
	}
	p.alarmAt = at
	p.alarm = p.World.at(at, p.onAlarm)
}

func (p *Peer) timeout() {
	p.alarm = nil
	p.World.enter()
	p.Conn.HandleTimeout(p.World.now)
	p.Pump()
}

func (p *Peer) receive(in quic.Inbound) {
	if p.Drained {
		return
	}
	p.received += uint64(len(in.Data))
	for datagram := range segments(in) {
		p.validated = p.validated || hasHandshakePacket(datagram)
	}
	p.World.enter()
	p.Conn.Receive(p.World.now, in)
	p.Pump()
}

// segments yields the datagrams of a train.
func segments(in quic.Inbound) iter.Seq[[]byte] {
	size := in.SegmentSize
	if size == 0 {
		size = max(len(in.Data), 1)
	}
	return slices.Chunk(in.Data, size)
}

// hasHandshakePacket reports whether a Handshake packet is in the datagram: a client has keys for it if it is where it
// says (RFC 9000, Section 8.1).
func hasHandshakePacket(data []byte) bool {
	for len(data) > 0 && wire.IsLong(data[0]) {
		h, ok := wire.ParseLong(data)
		if !ok || h.Type == wire.Handshake {
			return ok
		}
		data = data[h.PacketLen:]
	}
	return false
}

// Client is a host with one connection.
type Client struct {
	Peer
	Addr   netip.AddrPort // as the network sees it
	inside netip.AddrPort // as the client itself sees it
	opened int            // further addresses
}

// NextClientAddr returns the address that the next client will have, to set links before it begins to send.
func (w *World) NextClientAddr() netip.AddrPort {
	n := len(w.hosts)
	return w.addr([4]byte{10, 0, byte(n >> 8), byte(n)}, uint16(40000+n))
}

// addr returns an address, of the family that the world is to have.
func (w *World) addr(ip [4]byte, port uint16) netip.AddrPort {
	if !w.IPv6 {
		return netip.AddrPortFrom(netip.AddrFrom4(ip), port)
	}
	// 2001:db8::/32 is for documentation (RFC 3849).
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 4: ip[0], ip[1], 12: ip[2], ip[3]}), port)
}

// NewClient makes a client host at an address of its own and starts its connection to server.
func (w *World) NewClient(cfg *quic.Config, server *Server, app App) (*Client, error) {
	addr := w.NextClientAddr()
	conn, err := quic.NewClient(w.now, cfg, quic.Path{Local: addr, Remote: server.Addr})
	if err != nil {
		return nil, err
	}
	c := &Client{Addr: addr, inside: addr, Peer: Peer{
		World: w, Conn: conn, App: app, side: quic.Client, validated: true, onCID: func(quic.EndpointEvent) {},
	}}
	w.hosts[addr] = c
	app.Start(&c.Peer)
	c.Pump()
	return c, nil
}

// Rebind gives the client another port, as a NAT does: what it sends comes from there, what is sent to the old one is
// lost, and the connection does not notice.
func (c *Client) Rebind() { c.moveTo(netip.AddrPortFrom(c.Addr.Addr(), c.Addr.Port()+1000)) }

// Roam gives the client another IP address in the same way.
func (c *Client) Roam() {
	ip := c.Addr.Addr().AsSlice()
	ip[len(ip)-3]++
	addr, _ := netip.AddrFromSlice(ip)
	c.moveTo(netip.AddrPortFrom(addr, c.Addr.Port()))
}

func (c *Client) moveTo(addr netip.AddrPort) {
	w := c.World
	delete(w.hosts, c.Addr)
	c.Addr = addr
	w.hosts[addr] = c
	w.nat[c.inside] = addr
}

// Open gives the client another address, beside those that it has, to which its connection can migrate.
func (c *Client) Open() netip.AddrPort {
	c.opened++
	ip := c.inside.Addr().AsSlice()
	ip[len(ip)-3] += 100 + byte(c.opened)
	addr, _ := netip.AddrFromSlice(ip)
	local := netip.AddrPortFrom(addr, c.inside.Port())
	c.World.hosts[local] = c
	return local
}

// Shut takes an address from the client: what is sent there is lost, and so is what it sends from there.
func (c *Client) Shut(local netip.AddrPort) {
	delete(c.World.hosts, local)
	for _, server := range c.World.hosts {
		if s, ok := server.(*Server); ok {
			c.World.LinkBetween(local, s.Addr, Link{Down: true})
		}
	}
}

func (c *Client) receive(in quic.Inbound) {
	if in.Path.Local == c.Addr {
		in.Path.Local = c.inside
	}
	c.Peer.receive(in)
}

// idle reports that nothing is left to do.
func (c *Client) idle() bool { return c.Drained }

// Server is a host that accepts connections behind a quic.Demux.
type Server struct {
	Addr  netip.AddrPort
	World *World
	Demux *quic.Demux
	// UnderLoad is passed on to the Demux.
	UnderLoad bool
	// Refused counts datagrams that the Demux dropped, by its reason.
	Refused map[string]int

	cfg    *quic.Config
	newApp func() App
	peers  []*Peer
	routes map[quic.ConnectionID]*Peer
}

// NewServer makes a server host at an address of its own. newApp is called for each connection.
func (w *World) NewServer(cfg *quic.Config, demux *quic.Demux, newApp func() App) *Server {
	s := &Server{
		Addr:  w.addr([4]byte{192, 0, 2, byte(len(w.hosts))}, 443),
		World: w, Demux: demux, cfg: cfg, newApp: newApp,
		Refused: map[string]int{}, routes: map[quic.ConnectionID]*Peer{},
	}
	w.hosts[s.Addr] = s
	return s
}

// AlsoAt makes what is sent to another address reach the server.
func (s *Server) AlsoAt(addr netip.AddrPort) { s.World.hosts[addr] = s }

// Peers returns the connections that the server has made, in order, including those that ended.
func (s *Server) Peers() []*Peer { return s.peers }

// Routes returns how many connection IDs lead to a connection.
func (s *Server) Routes() int { return len(s.routes) }

func (s *Server) receive(in quic.Inbound) {
	// A train may hold packets of several connections, of which some are yet to be made by others in it.
	for datagram := range segments(in) {
		dcid, ok := s.Demux.DCID(datagram)
		if !ok {
			s.Refused["not QUIC"]++
			continue
		}
		if p := s.routes[dcid]; p != nil && s.allFor(dcid, in) {
			p.receive(in)
			return
		}
		one := in
		one.Data, one.SegmentSize = datagram, 0
		if p := s.routes[dcid]; p != nil {
			p.receive(one)
		} else {
			s.admit(one)
		}
	}
}

// allFor reports whether all datagrams of a train have one destination.
func (s *Server) allFor(dcid quic.ConnectionID, in quic.Inbound) bool {
	for datagram := range segments(in) {
		if other, ok := s.Demux.DCID(datagram); !ok || other != dcid {
			return false
		}
	}
	return true
}

// admit lets the Demux decide about a datagram that no connection is for.
func (s *Server) admit(in quic.Inbound) {
	var reply [1500]byte
	d := s.Demux.Handle(s.World.now, in.Path, in.Data, reply[:], s.UnderLoad)
	switch d.Kind {
	case quic.Reply:
		s.World.send(s.Addr, in.Path.Remote, quic.NotECT, reply[:d.Len])
		return
	case quic.Drop:
		s.Refused[d.Reason.String()]++
		return
	}
	conn, err := quic.NewServer(s.World.now, s.cfg, d.Accept)
	if err != nil {
		s.World.fail("NewServer: %v", err)
		return
	}
	p := &Peer{World: s.World, Conn: conn, App: s.newApp(), side: quic.Server, validated: d.Accept.Validated}
	p.onCID = func(e quic.EndpointEvent) { s.route(p, e) }
	s.peers = append(s.peers, p)
	p.App.Start(p)
	p.receive(in)
}

func (s *Server) route(p *Peer, e quic.EndpointEvent) {
	switch e.Kind {
	case quic.EndpointCIDIssued:
		if other := s.routes[e.CID]; other != nil && other != p {
			s.World.fail("connection ID %v issued twice", e.CID)
		}
		s.routes[e.CID] = p
	case quic.EndpointCIDRetired:
		delete(s.routes, e.CID)
	case quic.EndpointDrained:
		for id, q := range s.routes {
			if q == p {
				delete(s.routes, id)
			}
		}
	}
}

// idle reports that the server had connections and all are gone.
func (s *Server) idle() bool {
	for _, p := range s.peers {
		if !p.Drained {
			return false
		}
	}
	return true
}
