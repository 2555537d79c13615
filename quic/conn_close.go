package quic

import (
	"errors"
	"math/bits"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// connState is where a connection is in its life (RFC 9000, Section 10).
type connState uint8

const (
	stateActive   connState = iota
	stateClosing            // CONNECTION_CLOSE was sent, and is sent again to whoever has not heard it
	stateDraining           // CONNECTION_CLOSE or a stateless reset was received: nothing is sent
	stateDrained            // nothing is left
)

// closing is all that a connection keeps in the closing and draining periods, besides its path and its counters.
type closing struct {
	packet   []byte        // the datagram that tells the peer
	send     bool          // it is to be sent
	received uint64        // datagrams since
	until    monotime.Time // end of the period
}

// Close ends the connection at once (RFC 9000, Section 10.2): data not yet sent is not sent. err says why: an
// *[ApplicationError] or *[TransportError] gives the peer its code and reason, nil stands for NO_ERROR, anything else for
// INTERNAL_ERROR with the text kept here. The owner goes on to poll until [EndpointDrained]. Later calls do nothing.
func (c *Conn) Close(now time.Time, err error) {
	c.enter(now)
	if c.state != stateActive {
		return
	}
	var frame wire.ConnectionCloseFrame
	if app, ok := errors.AsType[*ApplicationError](err); ok && !app.Remote {
		e := *app
		e.Code = min(e.Code, wire.MaxVarint)
		err = &e
		frame = wire.ConnectionCloseFrame{App: true, Code: e.Code, Reason: []byte(e.Reason)}
	} else {
		e := &TransportError{Code: InternalError, Err: err}
		if err == nil {
			e = transportError(NoError, "")
		} else if te, ok := errors.AsType[*TransportError](err); ok && !te.Remote {
			clamped := *te
			clamped.Code, clamped.FrameType = min(te.Code, wire.MaxVarint), min(te.FrameType, wire.MaxVarint)
			e = &clamped
		}
		err = e
		frame = closeFrame(e)
	}
	c.close(err, frame)
}

func closeFrame(e *TransportError) wire.ConnectionCloseFrame {
	return wire.ConnectionCloseFrame{Code: uint64(e.Code), FrameType: e.FrameType, Reason: []byte(e.Reason)}
}

// fail ends the connection because of an error that this side found.
func (c *Conn) fail(err *TransportError) {
	if c.state == stateActive {
		c.close(err, closeFrame(err))
	}
}

// close enters the closing period.
func (c *Conn) close(err error, frame wire.ConnectionCloseFrame) {
	c.closing.packet = c.buildClose(frame)
	c.closing.send = len(c.closing.packet) > 0
	c.end(stateClosing, err)
}

// drain enters the draining period.
func (c *Conn) drain(err error) { c.end(stateDraining, err) }

// terminate ends the connection without a closing or draining period: nobody is there to be told.
func (c *Conn) terminate(err error) {
	c.end(stateDrained, err)
	c.endpointEvent(EndpointEvent{Kind: EndpointDrained})
}

// peerClosed processes a CONNECTION_CLOSE frame.
func (c *Conn) peerClosed(f wire.ConnectionCloseFrame) {
	if f.App {
		c.drain(&ApplicationError{Remote: true, Code: f.Code, Reason: string(f.Reason)})
		return
	}
	c.drain(&TransportError{
		Remote: true, Code: TransportErrorCode(f.Code), FrameType: f.FrameType, Reason: string(f.Reason),
	})
}

// end leaves the active state and lets go of everything that the next one does not need.
func (c *Conn) end(state connState, err error) {
	if c.state != stateActive {
		return
	}
	// RFC 9000, Section 10.2: three times the PTO.
	c.closing.until = c.now.Add(3 * c.rec.PTO(recovery.AppData))
	if c.trace != nil {
		c.trace.ended(state, err)
		c.trace, c.streams.trace = nil, nil
	}
	c.last = new(Stats)
	c.gauges(c.last)
	c.state = state
	c.err = err
	c.streams.close(err)
	c.closeTLS()
	c.hs = nil
	c.early, c.session = nil, nil
	c.keys = protect.AppKeys{}
	c.rec = recovery.Recovery{}
	c.recv = recovery.Received{}
	c.crypto = cryptoStream{}
	c.datagrams = datagrams{}
	c.local.active, c.peer = nil, peerCIDs{}
	c.roam = nil
	c.newToken = nil
	// What was not told yet is pointless now.
	c.events.pending = 0
	c.event(EventClosed)
}

// buildClose returns the datagram that closes the connection, nil if no packet can be sent.
//
// RFC 9000, Section 10.2.3: until the handshake is confirmed, the peer may not have the keys of the highest level that we
// have, so the frame goes out at all of them.
func (c *Conn) buildClose(frame wire.ConnectionCloseFrame) []byte {
	limit := int(min(c.path.credit(), minDatagramSize))
	if limit < minUsefulDatagram {
		return nil
	}
	room := 512
	if c.hs != nil {
		room = minDatagramSize
	}
	b := make([]byte, 0, room)
	limit = min(limit, room)
	var packets [recovery.NumSpaces]unsealed
	n := 0
	add := func(w *packetWriter, p *unsealed, body int, f wire.ConnectionCloseFrame) {
		if w.room() < minCloseFrame {
			return
		}
		w.buf = wire.AppendConnectionClose(w.buf, f, min(w.room(), maxCloseFrame))
		b = finishPacket(w, p, body)
		packets[n] = *p
		n++
	}
	pad := false
	if c.hs != nil {
		early := frame
		if frame.App {
			// RFC 9000, Section 10.2.3: nothing of the application shows before the peer is known.
			early = wire.ConnectionCloseFrame{Code: uint64(ApplicationErrorCode)}
		}
		for s := range recovery.AppData {
			hs := &c.hs.spaces[s]
			if hs.sealer == nil || hs.gone || s == recovery.Initial && limit < minDatagramSize && c.side == Client {
				continue
			}
			w := packetWriter{space: s, rec: &c.rec}
			if p, body, ok := c.beginLong(&w, b, limit); ok {
				add(&w, &p, body, early)
				pad = pad || s == recovery.Initial && c.side == Client
			}
		}
	}
	if c.complete {
		w := packetWriter{space: recovery.AppData, rec: &c.rec}
		if p, body, ok := c.begin1RTT(&w, b, limit, c.path); ok {
			add(&w, &p, body, frame)
		}
	}
	if pad {
		b = padDatagram(b, &packets[n-1])
	}
	if !c.sealAll(b, packets[:n], false) {
		return nil
	}
	return b
}

const (
	// minCloseFrame is the least room for a CONNECTION_CLOSE frame, maxCloseFrame the most that it takes.
	minCloseFrame = 25
	maxCloseFrame = 300
)

// receiveClosing counts a datagram that arrived in the closing period, and answers now and then.
//
// RFC 9000, Section 10.2.1: an increasing number of packets goes by before the next answer, which goes only where the
// connection was. Since packets are not decrypted, what is sent stays below three times what came, too.
func (c *Conn) receiveClosing(from Path, n int) {
	if c.state != stateClosing || from.Remote != c.path.addr.Remote {
		c.stats.PacketsDropped++
		return
	}
	c.path.received += int64(n)
	c.closing.received++
	if bits.OnesCount64(c.closing.received) == 1 {
		c.closing.send = len(c.closing.packet) > 0
	}
}

// pollClose sends the CONNECTION_CLOSE that is owed.
func (c *Conn) pollClose(buf []byte) (Transmit, bool) {
	cl := &c.closing
	if c.state != stateClosing || !cl.send || len(buf) < len(cl.packet) {
		return Transmit{}, false
	}
	p := c.path
	// The keys are gone: what arrives may be anybody's.
	if cl.received > 0 && amplificationFactor*p.received-p.sent < int64(len(cl.packet)) {
		return Transmit{}, false
	}
	if cl.received > 0 || !p.validated {
		p.sent += int64(len(cl.packet))
	}
	cl.send = false
	n := copy(buf, cl.packet)
	c.stats.DatagramsSent++
	c.stats.BytesSent += uint64(n)
	return c.transmit(p, n, n, false), true
}
