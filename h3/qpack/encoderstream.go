package qpack

// HandleEncoderStream takes the next bytes of the peer's encoder stream (RFC 9204, Section 4.3). An incomplete
// instruction is kept until the rest arrives. The error is an *Error.
func (d *Decoder) HandleEncoderStream(p []byte) error {
	if len(d.partial) > 0 {
		d.partial = append(d.partial, p...)
		p = d.partial
	}
	d.borrow()
	defer d.giveBack()
	for len(p) > 0 {
		n, err := d.instruction(p)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		p = p[n:]
	}
	if len(p) == 0 {
		d.partial = nil
		return nil
	}
	d.partial = append(d.partial[:0], p...)
	return nil
}

// instruction obeys the instruction at the start of b and returns its length, 0 if it is incomplete.
func (d *Decoder) instruction(b []byte) (int, error) {
	switch first := b[0]; {
	case first&0x80 != 0: // insert with name reference
		index, n := parseInt(b, 6)
		if n <= 0 {
			return 0, integerError(n)
		}
		var f Field
		ok := false
		if first&0x40 == 0 {
			f, ok = d.table.relative(index)
		} else if ok = index < uint64(len(staticTable)); ok {
			f = staticTable[index]
		}
		if !ok {
			return 0, encoderStreamError("name reference to an entry that does not exist")
		}
		return d.insertValue(f.Name, b, n)
	case first&0x40 != 0: // insert with literal name
		d.literals.b = d.literals.b[:0]
		name, n := parseString(b, 5, d.maxString())
		if n <= 0 {
			return 0, stringError(n)
		}
		// The value's length is checked first, so that the name is decoded once and not with every fragment.
		if _, m := parseString(b[n:], 7, d.maxString()); m <= 0 {
			return 0, stringError(m)
		}
		if !d.literals.decode(name) {
			return 0, encoderStreamError("invalid Huffman code")
		}
		s, ok := knownNames[string(d.literals.b)]
		if !ok {
			s = string(d.literals.b)
		}
		return d.insertValue(s, b, n)
	case first&0x20 != 0: // set dynamic table capacity
		capacity, n := parseInt(b, 5)
		if n <= 0 {
			return 0, integerError(n)
		}
		if capacity > d.maxCapacity {
			return 0, encoderStreamError("dynamic table capacity above the limit")
		}
		d.table.capacity = capacity
		for d.table.size > capacity {
			d.table.evict()
		}
		return n, nil
	default: // duplicate
		index, n := parseInt(b, 5)
		if n <= 0 {
			return 0, integerError(n)
		}
		f, ok := d.table.relative(index)
		if !ok {
			return 0, encoderStreamError("duplicate of an entry that does not exist")
		}
		return n, d.insert(f)
	}
}

// insertValue completes an insertion, whose value is at b[n:], and returns the length of the instruction.
func (d *Decoder) insertValue(name string, b []byte, n int) (int, error) {
	value, m := parseString(b[n:], 7, d.maxString())
	if m <= 0 {
		return 0, stringError(m)
	}
	d.literals.b = d.literals.b[:0]
	if !d.literals.decode(value) {
		return 0, encoderStreamError("invalid Huffman code")
	}
	return n + m, d.insert(Field{Name: name, Value: string(d.literals.b)})
}

// insert adds f to the table, evicting what must go (RFC 9204, Section 3.2.2).
func (d *Decoder) insert(f Field) error {
	size := f.Size()
	if size > d.table.capacity {
		return encoderStreamError("entry larger than the dynamic table")
	}
	for d.table.size > d.table.capacity-size {
		d.table.evict()
	}
	d.table.add(f)
	return nil
}

// maxString is the length of the longest string that an entry can have now.
func (d *Decoder) maxString() uint64 { return max(d.table.capacity, fieldOverhead) - fieldOverhead }

func integerError(n int) error {
	if n == incomplete {
		return nil
	}
	return encoderStreamError("invalid integer")
}

func stringError(n int) error {
	if n == incomplete {
		return nil
	}
	return encoderStreamError("string longer than the dynamic table can hold")
}

func encoderStreamError(reason string) error { return &Error{EncoderStreamError, reason} }
