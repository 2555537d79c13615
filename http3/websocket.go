package http3

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/dunlin-quic/dunlin/h3"
)

// WebSockets over HTTP/3 (RFC 9220) are opened by an extended CONNECT request, over HTTP/1.1 by an Upgrade (RFC 6455). From
// then on both are the same bytes. So WebSocket libraries, which know the Upgrade alone, are shown one.

const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, Section 1.3

func websocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + websocketGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// WebSocketHandler returns a handler that shows WebSocket requests of HTTP/3 to h as those of HTTP/1.1: method GET, the header
// fields of an Upgrade, and a ResponseWriter that is an http.Hijacker. So h accepts WebSockets with any library that does for
// net/http, whatever the version of HTTP; a handler that has hijacked may return and leave the connection to others. Other
// requests go to h as they are. The server needs [Server.ExtendedConnect].
func WebSocketHandler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol := r.Header[protocolKey]
		own := ownResponse(w)
		if r.Method != http.MethodConnect || len(protocol) != 1 || protocol[0] != "websocket" || own == nil {
			h.ServeHTTP(w, r)
			return
		}
		var key [16]byte
		rand.Read(key[:])
		upgrade := r.Clone(r.Context())
		upgrade.Method = http.MethodGet
		upgrade.Proto, upgrade.ProtoMajor, upgrade.ProtoMinor = "HTTP/1.1", 1, 1
		delete(upgrade.Header, protocolKey)
		upgrade.Header.Set("Connection", "Upgrade")
		upgrade.Header.Set("Upgrade", "websocket")
		upgrade.Header.Set("Sec-WebSocket-Key", base64.StdEncoding.EncodeToString(key[:]))
		upgrade.Body, upgrade.ContentLength = http.NoBody, 0
		u := &websocketResponse{ResponseWriter: w, own: own}
		h.ServeHTTP(u, upgrade)
		if u.conn != nil {
			select {
			case <-u.conn.closed:
			case <-own.x.stream.Context().Done():
			}
		}
	})
}

// websocketResponse is a ResponseWriter that can be hijacked.
type websocketResponse struct {
	http.ResponseWriter
	own      *response
	accepted bool // WriteHeader was called with 101
	conn     *websocketConn
}

// Unwrap is for http.ResponseController.
func (u *websocketResponse) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// WriteHeader turns the 101 of an Upgrade into the 200 of CONNECT.
func (u *websocketResponse) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.accepted = true
		return
	}
	u.ResponseWriter.WriteHeader(status)
}

// Hijack implements http.Hijacker.
func (u *websocketResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if u.conn != nil {
		return nil, nil, http.ErrHijacked
	}
	c := &websocketConn{serverTunnel: serverTunnel{u.own.x}, w: u, closed: make(chan struct{})}
	if u.accepted {
		if err := c.accept(nil); err != nil {
			return nil, nil, err
		}
	}
	u.conn = c
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// websocketConn is the hijacked connection. A library that writes its own response writes it here, and what follows are
// bytes of the WebSocket.
type websocketConn struct {
	serverTunnel
	w        *websocketResponse
	head     []byte // of the library's own response, until it is complete
	upgraded bool
	refused  bool // by another response
	once     sync.Once
	closed   chan struct{}
}

var errUpgradeHead = errors.New("http3: the response to the Upgrade is malformed or too long")

// maxUpgradeHead bounds the header section of a library's own response.
const maxUpgradeHead = 16 << 10

// accept sends the header section; header are fields in addition to those in the ResponseWriter.
func (c *websocketConn) accept(header http.Header) error {
	to := c.w.Header()
	for key, values := range header {
		to[key] = values
	}
	for _, key := range []string{"Connection", "Upgrade", "Sec-Websocket-Accept"} {
		delete(to, key)
	}
	c.upgraded = true
	c.w.ResponseWriter.WriteHeader(http.StatusOK)
	return c.w.own.FlushError()
}

// Write implements net.Conn.
func (c *websocketConn) Write(p []byte) (int, error) {
	if c.upgraded {
		return c.serverTunnel.Write(p)
	}
	if c.refused {
		return c.w.ResponseWriter.Write(p)
	}
	before := len(c.head)
	c.head = append(c.head, p...)
	end := headEnd(c.head)
	if end < 0 {
		if len(c.head) > maxUpgradeHead {
			return 0, errUpgradeHead
		}
		return len(p), nil
	}
	head := c.head[:end]
	c.head = nil
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return 0, errUpgradeHead
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		err = c.accept(res.Header)
	} else {
		c.refused = true
		for key, values := range res.Header {
			c.w.Header()[key] = values
		}
		c.w.ResponseWriter.WriteHeader(res.StatusCode)
	}
	if rest := p[end-before:]; err == nil && len(rest) > 0 {
		_, err = c.Write(rest)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements net.Conn. What was written arrives.
func (c *websocketConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		if c.upgraded {
			err = c.CloseWrite()
			c.x.stream.CancelRead(h3.NoError)
		}
		close(c.closed)
	})
	return err
}

// SetDeadline implements net.Conn.
func (c *websocketConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// headEnd returns the length of a header section with the empty line, -1 if it is not complete.
func headEnd(b []byte) int {
	for i := 3; i < len(b); i++ {
		if b[i] == '\n' && b[i-1] == '\r' && b[i-2] == '\n' && b[i-3] == '\r' {
			return i + 1
		}
	}
	return -1
}

// upgradeToWebSocket returns the extended CONNECT request that stands for an Upgrade to WebSocket, nil if req is none, and the
// key of the Upgrade.
func upgradeToWebSocket(req *http.Request) (connect *http.Request, key string) {
	if req.Method != http.MethodGet && req.Method != "" || !httpguts.HeaderValuesContainsToken(req.Header["Upgrade"], "websocket") ||
		!httpguts.HeaderValuesContainsToken(req.Header["Connection"], "upgrade") {
		return nil, ""
	}
	connect = req.Clone(req.Context())
	connect.Method = http.MethodConnect
	key = req.Header.Get("Sec-WebSocket-Key")
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key"} {
		delete(connect.Header, name)
	}
	connect.Header[protocolKey] = []string{"websocket"}
	return connect, key
}

// upgraded makes of the response to the CONNECT request the one that the caller of RoundTrip expects. As with net/http, the
// request's context has no meaning for the Body of a 101 response.
func upgraded(res *http.Response, req *http.Request, key string) *http.Response {
	res.Request = req
	t, ok := res.Body.(*clientTunnel)
	if !ok {
		return res
	}
	t.unwatch()
	res.StatusCode, res.Status = http.StatusSwitchingProtocols, statusText(http.StatusSwitchingProtocols)
	res.Header.Set("Connection", "Upgrade")
	res.Header.Set("Upgrade", "websocket")
	res.Header.Set("Sec-WebSocket-Accept", websocketAccept(key))
	return res
}
