package qpack

import (
	"slices"
	"strings"
)

// Encoder encodes field sections for the peer of one connection. It is not safe for concurrent use.
//
// It uses the dynamic table that the peer offers, up to a capacity of its own, and refers to entries whose arrival the peer
// has acknowledged: its sections do not block (RFC 9204, Section 2.1.2). A peer that says nothing of arrivals but what its
// acknowledgments of sections imply (Section 2.1.4) would never get such a section; so when several have had to do without
// entries that are on their way, one goes ahead, if the peer allows that a stream blocks: of its acknowledgment the Encoder
// learns. A field is inserted when it is sent for the second time, so that values seen once do not drive out those that return.
// Secrets and values that change with each message are not inserted at all.
type Encoder struct {
	table       table
	maxCapacity uint64 // ours
	maxEntries  uint64 // of the peer's offer: the modulus of the Required Insert Count
	maxBlocked  uint64 // streams that the peer allows to block
	known       uint64 // RFC 9204, Section 2.1.4: the Known Received Count
	usable      uint64 // entries below may be referred to in this section: known, or more where it goes ahead
	without     int    // sections since known grew that had to do without an entry that was on its way
	byField     map[[2]string]uint64
	byName      map[string]uint64
	sections    []sentSection
	out         []byte     // pending bytes of the encoder stream
	partial     []byte     // an incomplete decoder instruction
	recent      [64]uint16 // hashes of fields sent lately as literals; 16 bits do, since a false match only inserts early
	recentNext  uint8
}

// sentSection is a section with references to the dynamic table that the peer has not acknowledged.
type sentSection struct {
	streamID uint64
	lowest   uint64 // the smallest absolute index referred to: it and all above must not be evicted
	required uint64 // Required Insert Count
}

const (
	// maxSections bounds the sections that wait for acknowledgement; while there are so many, further ones do without
	// the dynamic table.
	maxSections = 256
	// maxPendingInserts is the number of pending bytes above which nothing is inserted, since the peer gives no
	// flow-control credit (RFC 9204, Section 2.1.3).
	maxPendingInserts = 4 << 10
	// aheadAfter is how many sections do without entries on their way until one goes ahead: a peer that tells of arrivals
	// nearly always does so before.
	aheadAfter = 8
)

// match is how a field is going to be represented.
type match struct {
	kind     matchKind
	onItsWay bool   // there is an entry that would do, which may not be referred to yet
	index    uint64 // of the static table, or absolute
}

// usualFields is for how many fields a section's matches are on the stack: an encoder keeps nothing from one section to the next.
const usualFields = 24

type matchKind uint8

const (
	matchNone matchKind = iota
	matchStaticName
	matchStatic
	matchDynamicName
	matchDynamic
)

// NewEncoder returns an Encoder that uses at most maxCapacity bytes of the peer's dynamic table. Until SetPeerCapacity
// it uses only the static table.
func NewEncoder(maxCapacity uint64) *Encoder { return &Encoder{maxCapacity: maxCapacity} }

// SetPeerCapacity tells the capacity that the peer's SETTINGS offer, once.
func (e *Encoder) SetPeerCapacity(maxCapacity uint64) {
	capacity := min(e.maxCapacity, maxCapacity)
	if capacity < fieldOverhead {
		return
	}
	e.maxEntries = maxCapacity / fieldOverhead
	e.table.capacity = capacity
}

// SetPeerBlockedStreams tells how many streams the peer's SETTINGS allow to block, once. Until then it is none.
func (e *Encoder) SetPeerBlockedStreams(n uint64) { e.maxBlocked = n }

// Encode appends the encoded section, which is to be sent on the stream, to dst. The order of the fields is kept.
func (e *Encoder) Encode(dst []byte, streamID uint64, fields []Field) []byte {
	var room [usualFields]match
	matches := room[:0]
	useTable := e.table.capacity > 0 && len(e.sections) < maxSections
	e.usable = e.known
	if useTable && e.goesAhead() {
		e.usable = e.table.inserted
	}
	without := false
	var required uint64
	lowest := e.table.inserted
	for i := range fields {
		m := e.find(&fields[i], useTable)
		if m.kind >= matchDynamicName {
			required = max(required, m.index+1)
			lowest = min(lowest, m.index)
			// From here on the entry must stay, whatever the fields that follow insert.
			if len(e.sections) == 0 || e.sections[len(e.sections)-1].required != 0 {
				e.sections = append(e.sections, sentSection{streamID: streamID})
			}
			e.sections[len(e.sections)-1].lowest = lowest
		}
		without = without || m.onItsWay
		matches = append(matches, m)
	}
	if required == 0 {
		dst = append(dst, 0, 0)
	} else {
		e.sections[len(e.sections)-1].required = required
		// RFC 9204, Section 4.5.1: Base is the Required Insert Count, so no index is post-Base.
		dst = appendInt(dst, 0, 8, required%(2*e.maxEntries)+1)
		dst = append(dst, 0)
	}
	switch {
	case required > e.known:
		e.without = 0
	case without:
		e.without++
	}
	for i, m := range matches {
		dst = appendLine(dst, &fields[i], m, required)
	}
	return dst
}

// goesAhead reports whether the next section may refer to entries that are on their way. There is one stream at a time that
// could block, and what it needs has been sent before, with no less credit of flow control.
func (e *Encoder) goesAhead() bool {
	return e.without >= aheadAfter && e.maxBlocked > 0 && len(e.out) == 0 && e.known < e.table.inserted &&
		!slices.ContainsFunc(e.sections, func(s sentSection) bool { return s.required > e.known })
}

// appendLine appends one field line representation (RFC 9204, Sections 4.5.2, 4.5.4 and 4.5.6).
func appendLine(dst []byte, f *Field, m match, base uint64) []byte {
	never := byte(0)
	if f.NeverIndex {
		never = 1
	}
	switch m.kind {
	case matchStatic:
		return appendInt(dst, 0xc0, 6, m.index)
	case matchDynamic:
		return appendInt(dst, 0x80, 6, base-1-m.index)
	case matchStaticName:
		dst = appendInt(dst, 0x50|never<<5, 4, m.index)
	case matchDynamicName:
		dst = appendInt(dst, 0x40|never<<5, 4, base-1-m.index)
	default:
		dst = appendString(dst, 0x20|never<<4, 3, f.Name)
	}
	return appendString(dst, 0, 7, f.Value)
}

// find chooses the representation of f, and may insert it for later.
func (e *Encoder) find(f *Field, useTable bool) match {
	static, exact := findStatic(f)
	if f.NeverIndex {
		// RFC 9204, Section 7.1.3: the value must travel as a literal.
		exact, useTable = false, false
	}
	if exact {
		return match{kind: matchStatic, index: uint64(static)}
	}
	name := match{}
	if static >= 0 {
		name = match{kind: matchStaticName, index: uint64(static)}
	}
	if !useTable {
		return name
	}
	if i, ok := e.byField[[2]string{f.Name, f.Value}]; ok {
		if i >= e.usable {
			name.onItsWay = true
			return name
		}
		if e.draining(i) {
			e.duplicate(i)
		}
		return match{kind: matchDynamic, index: i}
	}
	if e.insertable(f) && e.seenLately(f) {
		e.insert(f, static)
	}
	if static < 0 {
		if i, ok := e.byName[f.Name]; ok && i < e.usable && !e.draining(i) {
			return match{kind: matchDynamicName, index: i}
		}
	}
	return name
}

// insertable reports whether f may go into the table: neither a secret that others could guess at by watching the
// compression (RFC 9204, Section 7.1), nor a value that hardly returns, nor too large a part of the table.
func (e *Encoder) insertable(f *Field) bool {
	if f.Size() > e.table.capacity/4 || len(e.out) > maxPendingInserts {
		return false
	}
	switch f.Name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", // secrets
		":path", "age", "content-length", "content-range", "date", "etag", "expires", "if-modified-since",
		"if-none-match", "if-range", "last-modified", "location", "range":
		return false
	}
	return true
}

// seenLately reports whether f was sent before, not long ago, and remembers it.
func (e *Encoder) seenLately(f *Field) bool {
	h := uint32(2166136261) // FNV-1a
	for i := range len(f.Name) {
		h = (h ^ uint32(f.Name[i])) * 16777619
	}
	h *= 16777619 // between name and value
	for i := range len(f.Value) {
		h = (h ^ uint32(f.Value[i])) * 16777619
	}
	folded := uint16(h>>16 ^ h)
	for _, r := range e.recent {
		if r == folded {
			return true
		}
	}
	e.recent[e.recentNext] = folded
	e.recentNext = (e.recentNext + 1) % uint8(len(e.recent))
	return false
}

// draining reports whether the entry with absolute index i is among the oldest of a table that is nearly full: new
// references to it would delay its eviction and that of all younger ones (RFC 9204, Section 2.1.1.1).
func (e *Encoder) draining(i uint64) bool {
	if e.table.size < e.table.capacity*3/4 {
		return false
	}
	return i-e.table.dropped < (e.table.inserted-e.table.dropped)/4
}

// duplicate inserts entry i again, as the newest, if that can be done now.
func (e *Encoder) duplicate(i uint64) {
	f, _ := e.table.get(i)
	if len(e.out) > maxPendingInserts || !e.makeRoom(f.Size(), i) {
		return
	}
	e.out = appendInt(e.out, 0x00, 5, e.table.inserted-1-i)
	e.add(f)
}

// insert puts f into the table if there is room or room can be made.
func (e *Encoder) insert(f *Field, static int) {
	name, byName := e.byName[f.Name]
	keep := e.table.inserted
	if static < 0 && byName {
		keep = name
	}
	if !e.makeRoom(f.Size(), keep) {
		return
	}
	if e.table.inserted == 0 {
		// RFC 9204, Section 4.3.1. Not before it is needed: alone it would take a packet, and many a connection ends sooner.
		e.out = appendInt(e.out, 0x20, 5, e.table.capacity)
	}
	switch {
	case static >= 0:
		e.out = appendInt(e.out, 0xc0, 6, uint64(static))
	case byName:
		e.out = appendInt(e.out, 0x80, 6, e.table.inserted-1-name)
	default:
		e.out = appendString(e.out, 0x40, 5, f.Name)
	}
	e.out = appendString(e.out, 0, 7, f.Value)
	// Clones: the caller's strings may be parts of much larger ones.
	e.add(Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)})
}

// add puts f, for which there is room, into the table and its indices.
func (e *Encoder) add(f Field) {
	if e.byField == nil {
		e.byField, e.byName = make(map[[2]string]uint64), make(map[string]uint64)
	}
	e.byField[[2]string{f.Name, f.Value}] = e.table.inserted
	e.byName[f.Name] = e.table.inserted
	e.table.add(f)
}

// makeRoom evicts until size bytes are free; false, evicting nothing, if entries would have to go that may not: those
// not acknowledged, those that unacknowledged sections refer to (RFC 9204, Section 2.1.1), and keep.
func (e *Encoder) makeRoom(size, keep uint64) bool {
	limit := min(e.known, keep)
	for i := range e.sections {
		limit = min(limit, e.sections[i].lowest)
	}
	free := e.table.capacity - e.table.size
	end := e.table.dropped
	for ; free < size; end++ {
		if end >= limit {
			return false
		}
		f, _ := e.table.get(end)
		free += f.Size()
	}
	for e.table.dropped < end {
		i := e.table.dropped
		f := e.table.evict()
		// A younger entry with the same field or name has taken over the index.
		if key := [2]string{f.Name, f.Value}; e.byField[key] == i {
			delete(e.byField, key)
		}
		if e.byName[f.Name] == i {
			delete(e.byName, f.Name)
		}
	}
	return true
}

// Pending returns bytes for the encoder stream, valid until the next call of another method.
func (e *Encoder) Pending() []byte { return e.out }

// Sent removes the first n bytes from Pending.
func (e *Encoder) Sent(n int) { e.out = e.out[:copy(e.out, e.out[n:])] }
