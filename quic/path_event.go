package quic

// PathEventKind says what a [PathEvent] tells.
type PathEventKind uint8

// What the owner can hear of paths (RFC 9000, Section 9).
const (
	// PathNone is the kind of the zero PathEvent: there is none.
	PathNone PathEventKind = iota
	// PathProbed: the peer has begun to probe a path that was not known before.
	PathProbed
	// PathValidated: the peer receives what is sent on the path.
	PathValidated
	// PathFailed: the peer did not answer on the path for so long that nothing is expected of it. That may also be the path
	// that the connection has left.
	PathFailed
	// PathMigrated: the connection now uses the path.
	PathMigrated
)

var pathEventNames = [...]string{"none", "probed", "validated", "failed", "migrated"}

// String returns what the kind says in two or three words.
func (k PathEventKind) String() string { return pathEventNames[min(int(k), len(pathEventNames)-1)] }

// PathEvent tells what has become of a path.
type PathEvent struct {
	Kind PathEventKind
	Path Path // that it is about
}

// maxPathEvents bounds the events that wait. The oldest ones go first: nobody may be interested in them.
const maxPathEvents = 16

// pathEvent queues an event about p.
func (c *Conn) pathEvent(k PathEventKind, p *path) {
	if c.trace != nil {
		c.trace.pathEvent(k, p)
	}
	r := c.roaming()
	if len(r.events) >= maxPathEvents {
		r.events = append(r.events[:0], r.events[1:]...)
	}
	r.events = append(r.events, PathEvent{k, p.addr})
}

// NextPathEvent returns the next event about paths, of kind PathNone if there is none. Of events that nobody asks for, the
// latest 16 are kept. Those who only want to know when the path in use changes wait for [EventPathChanged].
func (c *Conn) NextPathEvent() PathEvent {
	if c.roam == nil || len(c.roam.events) == 0 {
		return PathEvent{}
	}
	e := c.roam.events[0]
	if c.roam.events = c.roam.events[1:]; len(c.roam.events) == 0 {
		c.roam.events = nil
	}
	return e
}
