package engine

import "github.com/dunlin-quic/dunlin/udp"

// Steering is how an endpoint shares its address with other endpoints, of this process or of others, so that packets of a
// connection find it whoever has read them. Package engine/steering implements it. All methods are safe from any goroutine.
type Steering interface {
	// Open is called when the endpoint begins to accept connections: connection attempts may go to it from now on.
	Open() error
	// Drain is called before the endpoint stops accepting connections: attempts are to go to others from now on. It may be called
	// again, and without Open.
	Drain() error
	// Pass is offered a datagram, which m brought, that belongs to no connection of the endpoint. It passes a copy on to the
	// endpoint that it belongs to, and returns whether it did: not if that is this one, or nobody. Goroutines that read sockets call
	// it: it must not block.
	Pass(m *udp.Message, datagram []byte) bool
}

// steer passes a datagram on if it is another endpoint's.
func (e *Endpoint) steer(m *udp.Message, datagram []byte) bool {
	s := e.cfg.Steering
	if s == nil || !s.Pass(m, datagram) {
		return false
	}
	e.counters.steered.Add(1)
	return true
}

// drainSteering has connection attempts go elsewhere. Should that fail, those that still come are refused.
func (e *Endpoint) drainSteering() {
	if s := e.cfg.Steering; s != nil {
		if err := s.Drain(); err != nil {
			e.log.Warn("connection attempts are not steered elsewhere", "error", err)
		}
	}
}
