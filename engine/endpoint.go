package engine

import (
	"context"
	"net/netip"

	"github.com/dunlin-quic/dunlin/udp"
)

// Endpoint is a set of sockets and the connections on them. It listens and dials; both at a time if so wished.
type Endpoint struct{ _ int }

// NewEndpoint makes an endpoint of sockets that the caller opened, and owns them from then on. cfg may be nil.
func NewEndpoint(cfg *EndpointConfig, sockets ...udp.Socket) (*Endpoint, error) { panic("skeleton") }

// Listen accepts connections from now on. An endpoint has one listener at a time.
func (e *Endpoint) Listen(cfg *ListenConfig) (*Listener, error) { panic("skeleton") }

// Dial connects to remote and returns once the handshake is complete and the application's OnEstablished has returned.
// If ctx ends first, the attempt is given up and closed.
func (e *Endpoint) Dial(ctx context.Context, remote netip.AddrPort, cfg *DialConfig) (*Connection, error) {
	panic("skeleton")
}

// LocalAddr returns the address of the first socket.
func (e *Endpoint) LocalAddr() netip.AddrPort { panic("skeleton") }

// Addrs returns the addresses of all sockets.
func (e *Endpoint) Addrs() []netip.AddrPort { panic("skeleton") }

// Shutdown ends the endpoint with good manners: new connection attempts are refused, applications that are a [Drainer]
// drain, and when all connections are gone the sockets are closed. When ctx ends first, the remaining connections are
// closed with CloseError and Shutdown returns the context's error.
func (e *Endpoint) Shutdown(ctx context.Context) error { panic("skeleton") }

// Close closes all connections with CloseError and then the sockets, without waiting for the peers.
func (e *Endpoint) Close() error { panic("skeleton") }
