package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// serve lets the application do its part of a round: hear of what came, and write.
func (w *worker) serve(calls []call) {
	complete := !w.complete && w.conn.Established() && w.conn.Err() == nil
	if !w.established && (complete || w.beginsEarly()) {
		w.tell(establish)
		w.established = true
		if w.up != nil && w.conn.Err() == nil {
			close(w.up)
			w.expecting = true
		}
	}
	if complete {
		w.complete = true
		w.e.counters.established.Add(1)
		w.handshakeDone()
		w.slow.Store(0)
		w.endHandshake()
	}
	if w.established {
		if w.drain {
			w.drain = false
			if _, ok := w.app.(Drainer); ok {
				w.tell(drain)
			}
		}
		w.pathEvents()
		w.tell(processReads)
	}
	for _, c := range calls {
		w.runCall(c)
	}
	if w.established {
		w.tell(processWrites)
	}
}

// beginsEarly reports whether the application is to begin though the handshake is not complete.
func (w *worker) beginsEarly() bool {
	if !w.early || w.conn.Err() != nil {
		return false
	}
	state := w.conn.EarlyData().State
	return state == quic.EarlyDataOffered || state == quic.EarlyDataAccepted
}

// notice tells the application of the connection's end, once there is one. By then the peer has been told, so that who
// waits for the end may leave at once.
func (w *worker) notice() {
	err := w.conn.Err()
	if err == nil || w.ended {
		return
	}
	if w.established && w.app != nil {
		_ = w.callback(processReads) // what came before the end, and the end itself
	}
	if w.cause != nil {
		err = w.cause
	}
	w.closed(err)
}

// method names a method of the application.
type method uint8

const (
	create method = iota // on clients; on servers a part of establish
	establish
	processReads
	processWrites
	drain
	pathEvent
	onClose
)

// tell calls a method of the application; its error closes the connection.
func (w *worker) tell(m method) {
	if w.conn.Err() != nil {
		return
	}
	if err := w.callback(m); err != nil {
		w.conn.Close(w.session.now, closeError(err))
	}
}

// callback calls a method of the application. A panic in it costs this connection and no other.
func (w *worker) callback(m method) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.log.Error("panic in the application of a connection", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("engine: panic in the application: %v", r)
		}
	}()
	switch m {
	case create:
		return w.create(nil)
	case establish:
		return w.establish()
	case processReads:
		return w.app.ProcessReads(&w.session)
	case processWrites:
		return w.app.ProcessWrites(&w.session)
	case drain:
		return w.app.(Drainer).Drain(&w.session)
	case pathEvent:
		return w.app.(PathObserver).OnPathEvent(&w.session, w.moves.event)
	default:
		w.app.OnClose(&w.session, w.err)
		return nil
	}
}

// establish makes a server's application, for now its protocol is known, and calls OnEstablished.
func (w *worker) establish() error {
	state := w.conn.ConnectionState()
	w.log.Debug("connection established", "alpn", state.NegotiatedProtocol, "early", w.session.Early())
	if w.app == nil {
		if err := w.create(state); err != nil {
			return err
		}
	}
	return w.app.OnEstablished(&w.session)
}

func (w *worker) create(state *tls.ConnectionState) error {
	app, err := w.newApp(w.info(state))
	if err == nil {
		w.setApp(app)
	}
	return err
}

func (w *worker) setApp(app ApplicationOverQUIC) {
	w.app = app
	w.handle.app.Store(&app)
}

// runCall runs a function that a user passed to Do.
func (w *worker) runCall(c call) {
	if w.ended {
		c.done <- errEnded
		return
	}
	defer func() {
		if r := recover(); r != nil {
			w.log.Error("panic in a function passed to Do", "panic", r, "stack", string(debug.Stack()))
			err := fmt.Errorf("engine: panic in a function passed to Do: %v", r)
			w.conn.Close(w.session.now, closeError(err))
			c.done <- err
		}
	}()
	c.f(&w.session)
	c.done <- nil
}

// nextDeadline asks the application for its own.
func (w *worker) nextDeadline() (t time.Time, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			w.log.Error("panic in the application of a connection", "panic", r, "stack", string(debug.Stack()))
			w.end(closeFully, closeError(fmt.Errorf("engine: panic in the application: %v", r)))
		}
	}()
	return w.app.NextDeadline()
}

// closeError returns what the peer is told of err.
func closeError(err error) error {
	if app, ok := errors.AsType[*quic.ApplicationError](err); ok && !app.Remote {
		return app
	}
	if t, ok := errors.AsType[*quic.TransportError](err); ok && !t.Remote {
		return t
	}
	return &quic.TransportError{Code: quic.InternalError, Err: err}
}

// inlineTime is how long a step may take without keeping a router from its other connections for too long. One that took
// longer is run elsewhere for the next slowSteps times.
const (
	inlineTime = time.Millisecond
	slowSteps  = 100
	// handshakeSteps keeps routers from the cryptography of handshakes.
	handshakeSteps = 1 << 20
)

// judge decides who is to run the next steps, by how long this one took.
func (w *worker) judge(took time.Duration) {
	switch {
	case took > inlineTime:
		w.slow.Store(slowSteps)
	case w.slow.Load() > 0:
		w.slow.Add(-1)
	}
}
