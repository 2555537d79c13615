// Package udpproxy is a UDP relay for tests over real sockets: it drops, duplicates, delays, reorders and corrupts the
// datagrams between clients and a server, which take it for the other side. To the server each client is a socket of
// the relay's, as behind a NAT.
//
// A seed fixes the fate of the n-th datagram of each direction. What is the n-th datagram is up to the real world, so
// that a seed makes a failure likely to return, not certain: for that there is the simulated network.
package udpproxy

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Config configures a Proxy. The zero value passes everything on.
type Config struct {
	ToServer, ToClient Impairment
	Seed               uint64
	// Tap sees every datagram as it arrives, before anything happens to it. The data is lent for the call. It is called
	// from several goroutines. Optional.
	Tap func(toServer bool, data []byte)
}

// maxClients bounds the sockets that a Proxy opens.
const maxClients = 1024

// Proxy relays until it is closed.
type Proxy struct {
	server             netip.AddrPort
	front              *net.UDPConn
	toServer, toClient *direction
	done               chan struct{}
	running            sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	clients map[netip.AddrPort]*net.UDPConn // each a socket connected to the server
}

// Listen starts a relay to server on a free port of the same loopback address family.
func Listen(server netip.AddrPort, cfg Config) (*Proxy, error) {
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if server.Addr().Is6() {
		local = netip.IPv6Loopback()
	}
	front, err := listenUDP(netip.AddrPortFrom(local, 0))
	if err != nil {
		return nil, err
	}
	tap := func(toServer bool) func([]byte) {
		if cfg.Tap == nil {
			return nil
		}
		return func(data []byte) { cfg.Tap(toServer, data) }
	}
	p := &Proxy{
		server:   server,
		front:    front,
		toServer: newDirection(cfg.ToServer, cfg.Seed, 0, tap(true)),
		toClient: newDirection(cfg.ToClient, cfg.Seed, 1, tap(false)),
		done:     make(chan struct{}),
		clients:  make(map[netip.AddrPort]*net.UDPConn),
	}
	p.running.Go(p.readClients)
	p.running.Go(func() { p.toServer.run(p.done) })
	p.running.Go(func() { p.toClient.run(p.done) })
	return p, nil
}

// Addr is where clients find the server.
func (p *Proxy) Addr() netip.AddrPort { return p.front.LocalAddr().(*net.UDPAddr).AddrPort() }

// SetImpairments changes what happens to datagrams from now on.
func (p *Proxy) SetImpairments(toServer, toClient Impairment) {
	for d, imp := range map[*direction]Impairment{p.toServer: toServer, p.toClient: toClient} {
		d.mu.Lock()
		d.imp = imp
		d.mu.Unlock()
	}
}

// Rebind gives every client a new port on the server's side, and closes the old ones, as a NAT does that has lost its
// state. What the server sends to the old ports from then on is lost.
func (p *Proxy) Rebind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, back := range p.clients {
		_ = back.Close() // its reader ends
		delete(p.clients, client)
	}
}

// Counters returns what became of the datagrams so far.
func (p *Proxy) Counters() (toServer, toClient Counters) {
	p.toServer.mu.Lock()
	defer p.toServer.mu.Unlock()
	p.toClient.mu.Lock()
	defer p.toClient.mu.Unlock()
	return p.toServer.counters, p.toClient.counters
}

// Close ends the relay; what it holds is lost.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	err := p.front.Close()
	for _, back := range p.clients {
		err = errors.Join(err, back.Close())
	}
	close(p.done)
	p.mu.Unlock()
	p.running.Wait()
	return err
}

// readClients takes what clients send.
func (p *Proxy) readClients() {
	buf := make([]byte, 1<<16)
	for {
		n, client, err := p.front.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a client's port was closed: its error is not the relay's
		}
		back := p.back(client)
		if back == nil {
			continue
		}
		p.toServer.pass(buf[:n], func(data []byte) { _, _ = back.Write(data) }) // UDP may lose it
	}
}

// back returns the socket that stands for a client, nil if there may be no further one.
func (p *Proxy) back(client netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if back := p.clients[client]; back != nil || p.closed || len(p.clients) >= maxClients {
		return back
	}
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.server))
	if err != nil {
		return nil
	}
	enlargeBuffers(back)
	p.clients[client] = back
	p.running.Go(func() { p.readServer(client, back) })
	return back
}

// readServer takes what the server sends to one client.
func (p *Proxy) readServer(client netip.AddrPort, back *net.UDPConn) {
	buf := make([]byte, 1<<16)
	send := func(data []byte) { _, _ = p.front.WriteToUDPAddrPort(data, client) } // UDP may lose it
	for {
		n, err := back.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the server's port is closed; it may come back
		}
		p.toClient.pass(buf[:n], send)
	}
}

func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err == nil {
		enlargeBuffers(conn)
	}
	return conn, err
}

// enlargeBuffers asks for room for bursts; the system may grant less.
func enlargeBuffers(conn *net.UDPConn) {
	const size = 4 << 20
	_ = conn.SetReadBuffer(size)
	_ = conn.SetWriteBuffer(size)
}
