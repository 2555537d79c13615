package qpack

// table is a dynamic table (RFC 9204, Section 3.2): a first-in, first-out ring of fields. Entries are addressed by
// their absolute index.
type table struct {
	ring     []Field // its length is a power of two
	dropped  uint64  // entries evicted so far: the absolute index of the oldest entry present
	inserted uint64  // entries inserted so far: the insert count
	size     uint64  // sum of the sizes of the entries
	capacity uint64  // set by the encoder; size never exceeds it
}

// get returns the entry with absolute index i, false if it was evicted or has not been inserted.
func (t *table) get(i uint64) (Field, bool) {
	if i < t.dropped || i >= t.inserted {
		return Field{}, false
	}
	return t.ring[i&uint64(len(t.ring)-1)], true
}

// relative returns the entry that an encoder instruction calls n: the newest is 0 (RFC 9204, Section 3.2.5).
func (t *table) relative(n uint64) (Field, bool) {
	if n >= t.inserted {
		return Field{}, false
	}
	return t.get(t.inserted - 1 - n)
}

// evict drops the oldest entry, which must exist, and returns it.
func (t *table) evict() Field {
	slot := &t.ring[t.dropped&uint64(len(t.ring)-1)]
	f := *slot
	*slot = Field{}
	t.dropped++
	t.size -= f.Size()
	return f
}

// add inserts f, which must fit, as the newest entry.
func (t *table) add(f Field) {
	if n := t.inserted - t.dropped; n == uint64(len(t.ring)) {
		ring := make([]Field, max(16, 2*len(t.ring)))
		for i := t.dropped; i < t.inserted; i++ {
			ring[i&uint64(len(ring)-1)] = t.ring[i&uint64(len(t.ring)-1)]
		}
		t.ring = ring
	}
	t.ring[t.inserted&uint64(len(t.ring)-1)] = f
	t.inserted++
	t.size += f.Size()
}
