package http3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
)

// protocolKey is the key in a Header of the protocol that an extended CONNECT request asks for, as net/http's HTTP/2 has it.
const protocolKey = ":protocol"

var errTunnelBody = errors.New("http3: the tunnel is written by the request's Body")

// Datagrams sends and receives the HTTP datagrams of one request (RFC 9297). Its methods may be called from any goroutine.
type Datagrams interface {
	// SendDatagram sends a copy of p, once and unreliably. While the queue of datagrams is full it waits, until ctx ends. It
	// returns quic.ErrDatagramTooLarge if p is longer than MaxDatagramLen, h3.ErrDatagrams if the peer takes none.
	SendDatagram(ctx context.Context, p []byte) error
	// ReceiveDatagram copies the next datagram to p and returns its length. It waits for one, until ctx ends. A datagram
	// longer than p is lost, and the error io.ErrShortBuffer. After the end of the peer's message it returns io.EOF. Up to
	// 64 KiB of datagrams wait to be received; further ones are lost.
	ReceiveDatagram(ctx context.Context, p []byte) (int, error)
	// MaxDatagramLen returns the length in bytes of the longest datagram that SendDatagram takes now, 0 if the peer takes
	// none. It changes with the path.
	MaxDatagramLen() int
}

// Tunnel is what becomes of a CONNECT request after a 2xx response: bytes in both directions, and datagrams. On a client it is
// the response's Body, on a server [AcceptTunnel] returns it. One goroutine may read while another writes.
//
// What is written is sent at once. Close abandons the tunnel unless both directions have ended: CloseWrite first, and Read
// until io.EOF, where the other side is to receive everything.
type Tunnel interface {
	io.ReadWriteCloser
	Datagrams
	// CloseWrite ends the direction to the other side, whose Read returns io.EOF after what was written.
	CloseWrite() error
	// SetReadDeadline and SetWriteDeadline are those of net.Conn.
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// LocalAddr and RemoteAddr are the addresses of the connection when it was made.
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// AcceptTunnel answers a CONNECT request with status 200 and the header in w, and returns the tunnel. The handler must not use
// w or the request's Body any more, and the tunnel ends when the handler returns. It returns http.ErrNotSupported if the
// request is no CONNECT or not one of this package's Server.
func AcceptTunnel(w http.ResponseWriter, r *http.Request) (Tunnel, error) {
	own := ownResponse(w)
	if own == nil || r.Method != http.MethodConnect {
		return nil, http.ErrNotSupported
	}
	w.WriteHeader(http.StatusOK)
	if err := own.FlushError(); err != nil {
		return nil, err
	}
	t := newServerTunnel(own.x)
	return &t, nil
}

// RequestDatagrams returns the HTTP datagrams of the extended CONNECT request that w answers; nil if it is another request, or
// not one of this package's Server. They can be sent from the time that the response's header section was.
func RequestDatagrams(w http.ResponseWriter) Datagrams {
	if own := ownResponse(w); own != nil && own.connect {
		return own.x.stream
	}
	return nil
}

// ownResponse finds the response under what middleware has wrapped around it, as http.ResponseController does.
func ownResponse(w http.ResponseWriter) *response {
	for {
		switch t := w.(type) {
		case *response:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// tunnelStream is what the tunnels of both sides have from their stream and connection.
type tunnelStream struct {
	stream        *h3driver.Stream
	local, remote net.Addr
}

func (t *tunnelStream) SendDatagram(ctx context.Context, p []byte) error {
	return t.stream.SendDatagram(ctx, p)
}

func (t *tunnelStream) ReceiveDatagram(ctx context.Context, p []byte) (int, error) {
	return t.stream.ReceiveDatagram(ctx, p)
}

func (t *tunnelStream) MaxDatagramLen() int { return t.stream.MaxDatagramLen() }

func (t *tunnelStream) SetReadDeadline(at time.Time) error {
	return t.stream.SetReadDeadline(at)
}

func (t *tunnelStream) SetWriteDeadline(at time.Time) error {
	return t.stream.SetWriteDeadline(at)
}

func (t *tunnelStream) LocalAddr() net.Addr  { return t.local }
func (t *tunnelStream) RemoteAddr() net.Addr { return t.remote }

// serverTunnel is the Tunnel of a handler.
type serverTunnel struct {
	tunnelStream
	x *exchange
}

func newServerTunnel(x *exchange) serverTunnel {
	return serverTunnel{tunnelStream{x.stream, x.conn.local, x.conn.remote}, x}
}

func (t *serverTunnel) Read(p []byte) (int, error)  { return t.x.body.Read(p) }
func (t *serverTunnel) Write(p []byte) (int, error) { return t.x.stream.Write(p) }

func (t *serverTunnel) CloseWrite() error {
	t.x.w.closed.Store(true)
	return t.x.stream.CloseWrite()
}

func (t *serverTunnel) Close() error {
	t.x.w.closed.Store(true)
	t.x.stream.CancelWrite(h3.RequestCancelled)
	t.x.stream.CancelRead(h3.RequestCancelled)
	return nil
}

// tunnel reports whether the request's half of the stream is the user's to write: it is CONNECT without a Body.
func (x *clientExchange) tunnel() bool { return x.req.Method == http.MethodConnect && !x.hasBody }

// awaitSettings waits for the server's settings if the request must not be sent before (RFC 8441, Section 3).
func (x *clientExchange) awaitSettings(ctx context.Context) error {
	if len(x.req.Header[protocolKey]) == 0 {
		return nil
	}
	settings, err := x.conn.controller.Settings(ctx)
	if err != nil {
		return err
	}
	for _, s := range settings {
		if s.ID == h3.SettingEnableConnectProtocol && s.Value == 1 {
			return nil
		}
	}
	return h3.ErrExtendedConnect
}

// clientTunnel is the Tunnel that is the Body of a response. The connection's account has it until Close.
type clientTunnel struct {
	responseBody
	tunnelStream
}

func (t *clientTunnel) Read(p []byte) (int, error) {
	n, err := t.x.stream.Read(p)
	if reason := t.x.reason(); err != nil && err != io.EOF && reason != nil {
		err = reason
	}
	return n, err
}

func (t *clientTunnel) Write(p []byte) (int, error) {
	if t.x.hasBody {
		return 0, errTunnelBody
	}
	n, err := t.x.stream.Write(p)
	if reason := t.x.reason(); err != nil && reason != nil {
		err = reason
	}
	return n, err
}

func (t *clientTunnel) CloseWrite() error {
	if t.x.hasBody {
		return errTunnelBody
	}
	return t.x.stream.CloseWrite()
}
