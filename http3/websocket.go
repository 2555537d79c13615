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
// net/http, whatever the version of HTTP; a handler that has hijacked may return and leave the connection to others. Any
// answer but an accepted WebSocket refuses it: a 2xx status of h, which would open it in HTTP/3, is sent as 501. Other requests
// go to h as they are. The server needs [Server.ExtendedConnect].
//
// Other than in HTTP/1.1 a hijacked connection remains the server's: Shutdown waits for it, Close closes it.
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
		defer u.leave()
		h.ServeHTTP(u, upgrade)
		switch {
		case u.conn != nil:
			select {
			case <-u.conn.closed:
			case <-own.x.stream.Context().Done():
			}
		case !u.answered:
			u.WriteHeader(http.StatusNotImplemented)
		}
	})
}

// websocketResponse is a ResponseWriter that can be hijacked.
type websocketResponse struct {
	http.ResponseWriter
	own      *response
	answered bool // WriteHeader was called with another final status than 101
	accepted bool // it was called with 101
	conn     *websocketConn
}

// Unwrap is for http.ResponseController.
func (u *websocketResponse) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// WriteHeader turns the 101 of an Upgrade into the 200 of CONNECT, which nothing else may become.
func (u *websocketResponse) WriteHeader(status int) {
	switch {
	case u.conn != nil:
		u.own.misuse("WriteHeader on a hijacked connection")
		return
	case status == http.StatusSwitchingProtocols:
		u.accepted = true
		return
	}
	u.answered = u.answered || status >= 200
	u.ResponseWriter.WriteHeader(refusal(status))
}

// refusal returns the status that stands for an answer other than 101.
func refusal(status int) int {
	if status >= 200 && status < 300 {
		return http.StatusNotImplemented // RFC 9220, Section 3
	}
	return status
}

// begin is what has to happen before the body of a refusal.
func (u *websocketResponse) begin() error {
	switch {
	case u.conn != nil:
		return http.ErrHijacked
	case u.accepted:
		return http.ErrBodyNotAllowed
	case !u.answered:
		u.WriteHeader(http.StatusOK)
	}
	return nil
}

// Write implements http.ResponseWriter.
func (u *websocketResponse) Write(p []byte) (int, error) {
	if err := u.begin(); err != nil {
		return 0, err
	}
	return u.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (u *websocketResponse) Flush() { _ = u.FlushError() }

// FlushError is for http.ResponseController.
func (u *websocketResponse) FlushError() error {
	if err := u.begin(); err != nil {
		return err
	}
	return http.NewResponseController(u.ResponseWriter).Flush()
}

var errHijackLate = errors.New("http3: Hijack after the response has begun")

// Hijack implements http.Hijacker.
func (u *websocketResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if u.conn != nil {
		return nil, nil, http.ErrHijacked
	}
	if u.answered {
		return nil, nil, errHijackLate
	}
	c := &websocketConn{serverTunnel: newServerTunnel(u.own.x), w: u, closed: make(chan struct{})}
	if u.accepted {
		if err := c.accept(nil); err != nil {
			return nil, nil, err
		}
	}
	u.conn = c
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// leave takes the response away from the hijacked connection before the handler returns.
func (u *websocketResponse) leave() {
	c := u.conn
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if !c.upgraded && !c.refused {
		c.serverTunnel.Close() // without a response, as an HTTP/1.1 connection would have been
	}
}

// websocketConn is the hijacked connection. A library that writes its own response writes it here, and what follows are
// bytes of the WebSocket.
type websocketConn struct {
	serverTunnel
	w      *websocketResponse
	once   sync.Once
	closed chan struct{}

	mu       sync.Mutex // guards what follows and the response
	head     []byte     // of the library's own response, until it is complete
	upgraded bool
	refused  bool // by another response
	over     bool // no response can be written any more
}

var errUpgradeHead = errors.New("http3: the response to the Upgrade is malformed or too long")

// maxUpgradeHead bounds the header section of a library's own response.
const maxUpgradeHead = 16 << 10

// accept sends the header section; header are fields in addition to those in the ResponseWriter.
func (c *websocketConn) accept(header http.Header) error {
	c.addHeader(header)
	c.upgraded = true
	c.w.ResponseWriter.WriteHeader(http.StatusOK)
	return c.w.own.FlushError()
}

// addHeader adds fields to those of the response and drops the ones that are about an HTTP/1.1 connection.
func (c *websocketConn) addHeader(header http.Header) {
	to := c.w.Header()
	for key, values := range header {
		to[key] = values
	}
	for _, key := range []string{"Connection", "Upgrade", "Sec-Websocket-Accept"} {
		delete(to, key)
	}
}

// Write implements net.Conn.
func (c *websocketConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	n := 0
	var err error
	if !c.upgraded {
		n, err = c.respond(p)
	}
	upgraded := c.upgraded
	c.mu.Unlock()
	if err != nil || !upgraded || n > 0 && n == len(p) {
		return n, err
	}
	m, err := c.serverTunnel.Write(p[n:])
	return n + m, err
}

// respond takes bytes of the library's own response, and returns how many of p were that: all, or those before the first of
// the WebSocket.
func (c *websocketConn) respond(p []byte) (int, error) {
	if c.over {
		return 0, net.ErrClosed
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
	switch {
	case err != nil || res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols:
		c.over = true
		return 0, errUpgradeHead
	case res.StatusCode == http.StatusSwitchingProtocols:
		return end - before, c.accept(res.Header)
	}
	c.refused = true
	c.addHeader(res.Header)
	c.w.ResponseWriter.WriteHeader(refusal(res.StatusCode))
	n, err := c.w.ResponseWriter.Write(p[end-before:])
	return end - before + n, err
}

// Close implements net.Conn. What was written arrives.
func (c *websocketConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		c.mu.Lock()
		c.over = true
		upgraded := c.upgraded
		c.mu.Unlock()
		err = nil
		if upgraded {
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
	if req.Method != http.MethodGet && req.Method != "" ||
		!httpguts.HeaderValuesContainsToken(req.Header["Upgrade"], "websocket") ||
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
