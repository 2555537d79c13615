package engine

import (
	"context"
	"net/netip"
)

// Listener accepts the connections of an endpoint; each gets an application of its own.
type Listener struct{ _ int }

// Listen opens a socket for every address (see udp.Listen), makes an endpoint of them, and listens.
func Listen(cfg *ListenConfig, addresses ...string) (*Listener, error) { panic("skeleton") }

// Addr returns the address of the first socket.
func (l *Listener) Addr() netip.AddrPort { panic("skeleton") }

// Addrs returns the addresses of all sockets.
func (l *Listener) Addrs() []netip.AddrPort { panic("skeleton") }

// Endpoint returns the endpoint.
func (l *Listener) Endpoint() *Endpoint { panic("skeleton") }

// SetSessionTicketKeys replaces the keys of the TLS session tickets, as tls.Config's method does.
func (l *Listener) SetSessionTicketKeys(keys [][32]byte) { panic("skeleton") }

// Shutdown stops accepting connections and lets those that were accepted drain, as [Endpoint.Shutdown] does. A listener
// made by the function Listen closes its sockets at the end; another leaves the endpoint to its owner.
func (l *Listener) Shutdown(ctx context.Context) error { panic("skeleton") }

// Close closes the accepted connections with CloseError, and stops accepting.
func (l *Listener) Close() error { panic("skeleton") }
