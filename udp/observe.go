package udp

import "time"

// Observer hears what happens to a socket that is rare, and counted in [Stats] all the same. Its methods are called by whoever
// sends or reads; they must not block.
type Observer interface {
	// SendWaited: a send waited d for room in the send buffer.
	SendWaited(d time.Duration)
	// SendFailed: datagrams of a send were lost because of "too_large", "no_route" or, for any other cause, "dropped".
	SendFailed(reason string)
	// ReceiveDropped: the system has thrown away n datagrams because the receive buffer was full.
	ReceiveDropped(n uint64)
}

// Observable is an optional interface of a [Socket], which those of this package have.
type Observable interface {
	// Observe makes o hear of the socket from now on. It must be called before the first ReadBatch or Send.
	Observe(o Observer)
}

// Why sends fail.
const (
	failTooLarge = "too_large"
	failNoRoute  = "no_route"
	failDropped  = "dropped"
)

// Observe implements [Observable].
func (c *counters) Observe(o Observer) { c.observer = o }

// failed tells that a send has failed.
func (c *counters) failed(reason string) {
	if c.observer != nil {
		c.observer.SendFailed(reason)
	}
}
