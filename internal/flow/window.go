// Package flow keeps the books of QUIC's flow control (RFC 9000, Section 4): what this side lets the peer send, and
// what the peer lets this side send, on a stream or on the whole connection.
package flow

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Window is what this side lets the peer send. The limit moves on as data is consumed, and the window, which is the
// distance between the two, grows when the peer could use more (RFC 9000, Section 4.2). Use [Window.Init].
type Window struct {
	limit    uint64 // advertised
	received uint64
	consumed uint64
	size     uint64
	most     uint64

	// When and at how much consumed data the present measurement of the reader's pace began.
	epoch         monotime.Time
	epochConsumed uint64
}

// Init makes w a window of size bytes that may grow up to most, and size is what has been advertised.
func (w *Window) Init(size, most uint64) {
	size = min(size, wire.MaxVarint)
	*w = Window{limit: size, size: size, most: most}
}

// Limit returns the limit last advertised.
func (w *Window) Limit() uint64 { return w.limit }

// Size returns the size of the window.
func (w *Window) Size() uint64 { return w.size }

// Received returns how much the peer has sent.
func (w *Window) Received() uint64 { return w.received }

// Consumed returns how much of it has been consumed.
func (w *Window) Consumed() uint64 { return w.consumed }

// Receive counts n more bytes sent by the peer. It returns false, and counts nothing, if the peer was not allowed to
// send them.
func (w *Window) Receive(now monotime.Time, n uint64) bool {
	if n > w.limit-w.received {
		return false
	}
	if w.epoch.IsZero() {
		w.epoch = now
	}
	w.received += n
	return true
}

// Consume counts n more bytes as consumed: their room may be used again. They must have been received.
func (w *Window) Consume(n uint64) { w.consumed += n }

// Due reports whether it is time to advertise a higher limit: the peer has at most half of the window left. Often enough
// that a steady reader never stops the peer, seldom enough that updates cost nothing.
func (w *Window) Due() bool { return w.next() > w.limit && w.limit-w.consumed <= w.size/2 }

// next is the limit to advertise for the present size.
func (w *Window) next() uint64 { return min(w.consumed+w.size, wire.MaxVarint) }

// Update returns the limit to advertise now. Half a window consumed in less than two round trips means that the peer may
// have been waiting for credit, since at most one window can pass per round trip: then the window doubles.
func (w *Window) Update(now monotime.Time, srtt time.Duration) uint64 {
	if w.consumed-w.epochConsumed >= w.size/2 {
		if !w.epoch.IsZero() && now.Sub(w.epoch) < 2*srtt {
			w.size = max(w.size, min(2*w.size, w.most))
		}
		w.epoch = now
		w.epochConsumed = w.consumed
	}
	w.limit = max(w.limit, w.next())
	return w.limit
}

// Grow makes the window at least size bytes, as far as its maximum allows.
func (w *Window) Grow(size uint64) { w.size = max(w.size, min(size, w.most)) }
