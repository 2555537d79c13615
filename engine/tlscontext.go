package engine

import "context"

// connectionKey is the key of a context's Connection.
type connectionKey struct{}

// ConnectionOf returns the connection that a callback of a server's tls.Config is about, such as GetConfigForClient or
// GetCertificate: ctx is the Context of the *tls.ClientHelloInfo, whose Conn is nil with QUIC. It returns nil for any other context.
// Callbacks run in the connection's step: they must not block, nor call methods of the Connection that wait for one.
func ConnectionOf(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	return c
}

// tlsContext is the context of the handshake of w.
func (w *worker) tlsContext() context.Context {
	return context.WithValue(context.Background(), connectionKey{}, &w.handle)
}
