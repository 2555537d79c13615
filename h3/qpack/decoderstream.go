package qpack

// HandleDecoderStream takes the next bytes of the peer's decoder stream (RFC 9204, Section 4.4). An incomplete
// instruction is kept until the rest arrives. The error is an *Error.
func (e *Encoder) HandleDecoderStream(p []byte) error {
	if len(e.partial) > 0 {
		e.partial = append(e.partial, p...)
		p = e.partial
	}
	for len(p) > 0 {
		prefix := uint(6)
		if p[0]&0x80 != 0 {
			prefix = 7
		}
		v, n := parseInt(p, prefix)
		if n == incomplete {
			break
		}
		if n < 0 {
			return decoderStreamError("invalid integer")
		}
		var err error
		switch {
		case p[0]&0x80 != 0:
			err = e.acknowledge(v)
		case p[0]&0x40 != 0:
			e.cancel(v)
		default:
			err = e.increment(v)
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	if len(p) == 0 && cap(e.partial) > keptScratch {
		e.partial = nil
		return nil
	}
	e.partial = append(e.partial[:0], p...)
	return nil
}

// acknowledge obeys a Section Acknowledgment, which is for the stream's oldest section.
func (e *Encoder) acknowledge(streamID uint64) error {
	for i, s := range e.sections {
		if s.streamID == streamID {
			if s.required > e.known {
				e.known, e.without = s.required, 0
			}
			e.sections = append(e.sections[:i], e.sections[i+1:]...)
			return nil
		}
	}
	return decoderStreamError("acknowledgement of a section that awaits none")
}

// cancel obeys a Stream Cancellation. It may name any stream: many carry no section that uses the table.
func (e *Encoder) cancel(streamID uint64) {
	kept := e.sections[:0]
	for _, s := range e.sections {
		if s.streamID != streamID {
			kept = append(kept, s)
		}
	}
	e.sections = kept
}

// increment obeys an Insert Count Increment.
func (e *Encoder) increment(n uint64) error {
	if n == 0 || n > e.table.inserted-e.known {
		return decoderStreamError("insert count increment of zero or beyond what was sent")
	}
	e.known, e.without = e.known+n, 0
	return nil
}

func decoderStreamError(reason string) error { return &Error{DecoderStreamError, reason} }
