package http3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/dunlin-quic/dunlin/udp"
)

// Listener holds the UDP sockets that a [Server] serves on.
type Listener struct {
	sockets []udp.Socket
	addrs   []net.Addr
	close   sync.Once
	done    chan struct{}
}

// NewListener makes a Listener of at least one socket that the caller opened, and that are its own from then on.
func NewListener(sockets ...udp.Socket) *Listener {
	l := &Listener{sockets: sockets, done: make(chan struct{})}
	var seen []netip.AddrPort
	for _, s := range sockets {
		// Those of steering have an address twice: where packets come from the network, and where from other processes.
		if a := s.LocalAddr(); !slices.Contains(seen, a) {
			seen = append(seen, a)
			l.addrs = append(l.addrs, net.UDPAddrFromAddrPort(a))
		}
	}
	return l
}

// Listen opens UDP sockets for a [Server]. A name that resolves to an IPv4 and an IPv6 address, such as "localhost",
// opens one socket for each, on the same port; ":443" is both families. Several addresses may be given.
func Listen(addrs ...string) (*Listener, error) {
	var sockets []udp.Socket
	for _, addr := range addrs {
		more, err := listenName(addr)
		if err != nil {
			closeAll(sockets)
			return nil, err
		}
		sockets = append(sockets, more...)
	}
	if len(sockets) == 0 {
		return nil, errors.New("http3: no address to listen on")
	}
	return NewListener(sockets...), nil
}

// portTries is how many ports of the system's choice are tried until one is free for all addresses of a name.
const portTries = 16

func listenName(addr string) ([]udp.Socket, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := resolveAll(host)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		sockets, err := listenIPs(ips, port)
		if err == nil || port != "0" || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return sockets, err
		}
	}
}

// resolveAll returns what to bind to for host: an empty string stands for all addresses.
func resolveAll(host string) ([]string, error) {
	if host == "" {
		return []string{""}, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	if host == "localhost" {
		// RFC 6761, Section 6.3: the name stands for both loopback addresses, also where a hosts file names only one.
		return []string{"127.0.0.1", "::1"}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return nil, err
	}
	var out []string
	seen := make(map[netip.Addr]bool)
	for _, ip := range ips {
		if ip = ip.Unmap(); !seen[ip] {
			seen[ip] = true
			out = append(out, ip.String())
		}
	}
	return out, nil
}

// listenIPs opens one socket per address, on one port. Of several addresses those that this host lacks (such as ::1
// without IPv6) are left out.
func listenIPs(ips []string, port string) ([]udp.Socket, error) {
	var sockets []udp.Socket
	var lacking error
	for _, ip := range ips {
		s, err := udp.Listen(net.JoinHostPort(ip, port), nil)
		switch {
		case err == nil:
			sockets = append(sockets, s)
			port = strconv.Itoa(int(s.LocalAddr().Port()))
		case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT):
			lacking = err
		default:
			closeAll(sockets)
			return nil, err
		}
	}
	if len(sockets) == 0 {
		return nil, lacking
	}
	return sockets, nil
}

func closeAll(sockets []udp.Socket) {
	for _, s := range sockets {
		s.Close()
	}
}

// Addr returns the address of the first socket.
func (l *Listener) Addr() net.Addr { return l.addrs[0] }

// Addrs returns the address of every socket.
func (l *Listener) Addrs() []net.Addr { return l.addrs }

// Close closes the sockets and the connections on them. A Server that serves on l does that at its end.
func (l *Listener) Close() error {
	l.close.Do(func() {
		close(l.done)
		closeAll(l.sockets)
	})
	return nil
}
