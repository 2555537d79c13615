package h3

import "github.com/dunlin-quic/dunlin/internal/wire"

// GoAway says that this side is going away (RFC 9114, Section 5.2). For servers id is the stream ID of the first
// request that will not be processed: first MaxRequestID to announce it, then, when requests in flight have had time to
// arrive, NextRequestID; requests from id on are then refused with RequestRejected. For clients it is a push ID, 0. An
// id above an earlier one counts as that one, and one that changes nothing is not sent.
func (c *Conn) GoAway(id uint64) {
	if c.server {
		id = min(id, MaxRequestID) &^ 3
	}
	id = min(id, wire.MaxVarint)
	if c.Err() != nil || id >= c.goAwaySent {
		return
	}
	c.goAwaySent = id
	c.control.buf = appendFrameHeader(c.control.buf, frameGoAway, wire.VarintLen(id))
	c.control.buf = wire.AppendVarint(c.control.buf, id)
	if c.q.Traced() && c.control.qs != nil {
		c.traceSent(c.control.qs.ID(), frameGoAway, wire.AppendVarint(nil, id))
	}
	if c.server {
		for s := c.streams.head; s != nil; s = s.next {
			if uint64(s.qs.ID()) >= id && !s.told {
				s.reject()
			}
		}
	}
}

// NextRequestID returns the stream ID above those of all requests that EventHeaders has told.
func (c *Conn) NextRequestID() uint64 { return c.nextRequest }

// receiveGoAway obeys a GOAWAY frame.
func (c *Conn) receiveGoAway(id uint64) Event {
	if !c.server && id%4 != 0 {
		c.fail(IDError, "GOAWAY with the ID of a stream that can't carry a request") // RFC 9114, Section 7.2.6
		return Event{}
	}
	if id > c.goAwayReceived {
		c.fail(IDError, "GOAWAY with an ID above an earlier one") // RFC 9114, Section 5.2
		return Event{}
	}
	c.goAwayReceived = id
	if !c.server {
		for s := c.streams.head; s != nil; s = s.next {
			if uint64(s.qs.ID()) >= id {
				s.rejected()
			}
		}
	}
	return Event{Kind: EventGoAway, ID: id}
}
