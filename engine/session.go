package engine

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// Session is what the engine lends to an application's methods. Its methods may only be called from there, but for Wake,
// Flush, FlushAlone, Yield and Connection, which any goroutine may call at any time.
type Session struct {
	w   *worker
	now time.Time
}

// Conn returns the connection. The engine does everything around the streams and datagrams: applications drain
// NextEvent and leave Receive, HandleTimeout, PollTransmit, NextTimeout and NextEndpointEvent alone.
func (s *Session) Conn() *quic.Conn { return s.w.conn }

// Early reports whether the application has begun before the handshake is complete: see [ListenConfig.EarlyStart] and
// [DialConfig.EarlyStart]. quic.EventEstablished tells the end of that.
func (s *Session) Early() bool { return !s.w.conn.Established() }

// Now returns the time of the step.
func (s *Session) Now() time.Time { return s.now }

// Logger returns a logger that names the connection; for the life of a connection, not for packets.
func (s *Session) Logger() *slog.Logger { return s.w.log }

// LocalAddr returns the address of this side of the path in use. On a client whose socket is bound to all addresses its
// IP address is unspecified.
func (s *Session) LocalAddr() netip.AddrPort { return s.w.conn.Path().Local }

// RemoteAddr returns the address of the peer on the path in use.
func (s *Session) RemoteAddr() netip.AddrPort { return s.w.conn.Path().Remote }

// Connection returns the handle of the connection.
func (s *Session) Connection() *Connection { return &s.w.handle }

// Wake schedules a step on another goroutine: the application's ProcessWrites will be called after everything that
// happened before Wake. It never blocks nor calls back, costs little when a step is due already, and may be called
// under any lock, from the application's own methods, and after the connection's end.
func (s *Session) Wake() { s.w.wake() }

// Flush is Wake, but lends the calling goroutine to run the step, if no other does so already: what was just left for the
// application leaves without waiting for another goroutine. Goroutines that are ready to run go first, so that one step
// sends what many of them have written. The caller must hold no lock that the application's methods take, and must not
// be one of those methods.
func (s *Session) Flush() { s.w.flush(false) }

// FlushAlone is Flush for a caller who knows that no other goroutine is about to write on the connection: none goes first.
func (s *Session) FlushAlone() { s.w.flush(true) }

// Go has t run once the reading of this step is done, in a goroutine that may block, as a go statement would, which
// costs more: if tasks take but some microseconds, as a rule, the goroutine that reads the socket runs them itself, and what they
// leave to be sent goes out together. A task that does take long delays the other connections of the socket by
// milliseconds at most, and then tasks get goroutines of their own for a while. It is for the application's methods.
func (s *Session) Go(t Task) { s.w.leave(t) }

// Expect tells that the application has given other goroutines something in this step that they are likely to answer to. If a
// router runs the step they go first, so that what they write leaves in the packets that the step sends, and
// they need run no step for it. It is for the application's methods.
func (s *Session) Expect() { s.w.expecting = true }

// Yield is for a task that is about to wait, and what waits on behalf of one: nobody else is to wait for it meanwhile. It is
// not needed, but saves the others those milliseconds. It never blocks and may be called under any lock.
func (s *Session) Yield() { s.w.yield() }
