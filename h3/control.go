package h3

import (
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// maxControlFrame is the length in bytes of the longest frame of a known type that is accepted on a control stream,
// SETTINGS apart. It leaves room for a PRIORITY_UPDATE with unknown parameters.
const maxControlFrame = 1 << 10

// receiveControl reads the peer's control stream until there is an event or it has nothing more.
func (c *Conn) receiveControl(s *inStream) Event {
	for c.err == nil {
		if !s.inFrame {
			if err := s.next(); err != nil {
				c.criticalError(err)
				break
			}
			c.checkControlFrame(s.typ, s.left)
			if c.q.Traced() && !s.typ.known() {
				c.q.Trace(&qlog.HTTP3FrameParsed{StreamID: uint64(s.qs.ID()), Frame: tracedUnknown(s.typ, int(s.left))})
			}
			continue
		}
		if !s.typ.known() {
			if err := s.skip(); err != nil {
				c.criticalError(err)
				break
			}
			continue
		}
		payload, err := s.collect()
		if err != nil {
			c.criticalError(err)
			break
		}
		if c.q.Traced() {
			c.traceControlFrame(s.qs.ID(), s.typ, payload)
		}
		ev := c.controlFrame(s.typ, payload)
		s.done()
		if ev.Kind != EventNone && c.err == nil {
			return ev
		}
	}
	return Event{}
}

// checkControlFrame checks that the frame may stand where it does on a control stream (RFC 9114, Section 7, Table 1).
func (c *Conn) checkControlFrame(t frameType, length uint64) {
	limit := uint64(maxControlFrame)
	switch {
	case !c.hasPeerSettings:
		// RFC 9114, Section 6.2.1: whatever the frame, even of an unknown type.
		if t != frameSettings {
			c.fail(MissingSettings, t.String()+" before SETTINGS")
			return
		}
		limit = maxSettings
	case t == frameSettings:
		c.fail(FrameUnexpected, "SETTINGS twice")
		return
	case t == frameData, t == frameHeaders, t == framePushPromise, t.http2():
		c.fail(FrameUnexpected, t.String()+" on the control stream")
		return
	case !c.server && (t == frameMaxPushID || t == framePriorityUpdateRequest || t == framePriorityUpdatePush):
		c.fail(FrameUnexpected, t.String()+" from a server") // RFC 9114, Section 7.2.7; RFC 9218, Section 7.2
		return
	case !t.known():
		return
	}
	if length > limit {
		c.fail(ExcessiveLoad, t.String()+" too long")
	}
}

// controlFrame obeys a whole frame of a known type.
func (c *Conn) controlFrame(t frameType, payload []byte) Event {
	if t == frameSettings {
		settings, code, reason := parseSettings(payload)
		if reason != "" {
			c.fail(code, reason)
			return Event{}
		}
		c.applySettings(settings)
		return Event{Kind: EventSettings, Settings: settings}
	}
	id, n := wire.ParseVarint(payload)
	priorityUpdate := t == framePriorityUpdateRequest || t == framePriorityUpdatePush
	if n == 0 || n < len(payload) && !priorityUpdate {
		c.fail(FrameError, t.String()+" of the wrong length")
		return Event{}
	}
	switch t {
	case frameGoAway:
		return c.receiveGoAway(id)
	case frameMaxPushID:
		if int64(id) < c.maxPushID {
			c.fail(IDError, "MAX_PUSH_ID lowered")
		}
		c.maxPushID = int64(id)
	case frameCancelPush:
		// RFC 9114, Section 7.2.3: a client has allowed no push ID, a server has promised none.
		c.fail(IDError, "CANCEL_PUSH without push")
	case framePriorityUpdatePush:
		c.fail(IDError, "PRIORITY_UPDATE of a push that was not promised") // RFC 9218, Section 7.2
	case framePriorityUpdateRequest:
		return c.receivePriorityUpdate(id, string(payload[n:]))
	}
	return Event{}
}

// priorityUpdate is the priority of a request that has not arrived.
type priorityUpdate struct {
	id       quic.StreamID
	priority Priority
}

// maxPriorityUpdates bounds the updates kept for requests to come (RFC 9218, Section 7).
const maxPriorityUpdates = 64

// receivePriorityUpdate obeys PRIORITY_UPDATE for the request with the given stream ID (RFC 9218, Section 7.2).
func (c *Conn) receivePriorityUpdate(id uint64, value string) Event {
	sid := quic.StreamID(id)
	if sid.Initiator() != quic.Client || sid.Dir() != quic.Bidi {
		c.fail(IDError, "PRIORITY_UPDATE of a stream that can't carry a request")
		return Event{}
	}
	c.prioritized = true
	p := ParsePriority(value)
	ev := Event{Kind: EventPriorityUpdate, Priority: p, ID: id}
	if s := c.streams.find(sid); s != nil {
		s.updated = true
		s.SetPriority(p)
		if s.told {
			ev.Stream = s
		}
		return ev
	}
	if id < c.nextRequest {
		return Event{} // the request is done, or was never told
	}
	for i := range c.updates {
		if c.updates[i].id == sid {
			c.updates[i].priority = p
			return ev
		}
	}
	if len(c.updates) == maxPriorityUpdates {
		c.updates = c.updates[:copy(c.updates, c.updates[1:])]
	}
	c.updates = append(c.updates, priorityUpdate{sid, p})
	return ev
}

// setPriority gives a request that has arrived the priority that its client asked for.
func (s *Stream) setPriority(m message) {
	c := s.c
	for i := range c.updates {
		if c.updates[i].id == s.qs.ID() {
			s.updated = true
			s.SetPriority(c.updates[i].priority)
			c.updates = append(c.updates[:i], c.updates[i+1:]...)
			break
		}
	}
	c.prioritized = c.prioritized || m.hasPriority
	// RFC 9218, Section 7: PRIORITY_UPDATE, even an earlier one, overrides the field. A client that never says anything
	// of priorities would not expect a large response to hold up all later ones, which the default of Section 4.2 would
	// do: its streams keep QUIC's own order, which is in turns.
	if !s.updated && c.prioritized {
		s.SetPriority(ParsePriority(m.priority))
	}
}
