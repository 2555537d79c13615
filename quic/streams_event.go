package quic

// Bits of Stream.events, in the order in which they are told.
const (
	eventOpened uint8 = 1 << iota
	eventReadable
	eventWritable
	eventClosed
)

// notify sees to it that the application is told. A stream waits in the list once, whatever there is to tell of it, so
// that there is never more to tell than there are streams.
func (s *Stream) notify(event uint8) {
	s.events |= event
	s.table.events.push(listEvents, s)
}

// retract takes back an event that is no longer worth telling.
func (s *Stream) retract(event uint8) {
	s.events &^= event
	if s.events == 0 {
		s.table.events.remove(listEvents, s)
	}
}

// notifyReadable tells that there is something to read, if the application does not know that yet.
func (s *Stream) notifyReadable() {
	if s.recv.armed {
		s.recv.armed = false
		s.notify(eventReadable)
	}
}

// nextEvent returns the next event for the application.
func (t *streamTable) nextEvent() (Event, bool) {
	for t.available != 0 {
		d := Bidi
		if t.available&(1<<Bidi) == 0 {
			d = Uni
		}
		t.available &^= 1 << d
		if l := &t.local[d]; l.next < l.max {
			return Event{Kind: EventStreamsAvailable, Dir: d}, true
		}
	}
	for {
		s := t.events.head
		if s == nil {
			return Event{}, false
		}
		event := s.events & -s.events
		s.retract(event)
		switch event {
		case eventOpened:
			return Event{Kind: EventStreamOpened, Stream: s}, true
		case eventReadable:
			if s.recv.readable() {
				return Event{Kind: EventStreamReadable, Stream: s}, true
			}
			s.recv.armed = true
		case eventWritable:
			return Event{Kind: EventStreamWritable, Stream: s}, true
		case eventClosed:
			t.ended(s.id)
			return Event{Kind: EventStreamClosed, Stream: s}, true
		}
	}
}
