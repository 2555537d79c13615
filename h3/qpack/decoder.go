package qpack

import (
	"math"
	"sync"
)

// Decoder decodes the field sections that a peer sends on one connection, and answers on the decoder stream. It is not
// safe for concurrent use.
//
// What a peer can make it hold is bounded: by the capacity of the table, by one incomplete instruction of at most a
// few times that, and by the limit on blocked streams, whose encoded sections the caller keeps. Pending grows by a few
// bytes with every section that uses the table and every cancellation; the caller bounds it.
type Decoder struct {
	table           table
	maxCapacity     uint64
	maxBlocked      int
	known           uint64 // the insert count that the peer's encoder knows we have reached, once Pending is sent
	blocked         []blockedSection
	partial         []byte // an incomplete encoder instruction
	out             []byte // pending bytes of the decoder stream
	*decoderScratch        // while something is decoded
}

// decoderScratch is what decoding a section or an instruction needs. Decoders borrow it from a pool, so that an idle one has none.
type decoderScratch struct {
	literals byteWriter
	spans    []span
}

var decoderScratches = sync.Pool{New: func() any { return new(decoderScratch) }}

// blockedSection is a section that needs insertions which have not arrived.
type blockedSection struct {
	streamID            uint64
	requiredInsertCount uint64
}

// span says where in the collected literals the strings of a field are.
type span struct {
	field            int // index in the result
	name, value, end int // the value is at value:end; the name, if it was not known otherwise, at name:value
}

// keptScratch is the capacity above which scratch space is not kept from one section to the next.
const keptScratch = 16 << 10

// NewDecoder returns a Decoder that allows the peer a dynamic table of up to maxCapacity bytes and up to maxBlocked
// streams whose sections wait for the encoder stream. Both are to be sent in SETTINGS; 0 and 0 allow only the static
// table.
func NewDecoder(maxCapacity uint64, maxBlocked int) *Decoder {
	return &Decoder{maxCapacity: maxCapacity, maxBlocked: maxBlocked}
}

// Decode decodes the section that block holds whole and appends its fields to dst. maxSize limits the section in bytes
// as [Field.Size] counts; 0 is no limit. The strings of the result do not alias block; they share storage with one
// another and with the table.
//
// The error is ErrBlocked, ErrTooLarge or an *Error; dst is then returned as it came.
func (d *Decoder) Decode(dst []Field, streamID uint64, block []byte, maxSize uint64) ([]Field, error) {
	required, base, n := d.parsePrefix(block)
	if n <= 0 {
		return dst, decompressionFailed("invalid field section prefix")
	}
	if required > d.table.inserted {
		return dst, d.block(streamID, required)
	}
	if maxSize == 0 {
		maxSize = math.MaxUint64
	}
	d.borrow()
	defer d.giveBack()
	fields := dst
	for p := block[n:]; len(p) > 0; {
		f, n, err := d.parseLine(p, required, base, len(fields))
		if err != nil {
			clear(fields[len(dst):])
			return dst, err
		}
		size := f.Size()
		if i := len(d.spans) - 1; i >= 0 && d.spans[i].field == len(fields) {
			size += uint64(d.spans[i].end - d.spans[i].name)
		}
		if size > maxSize {
			clear(fields[len(dst):])
			return dst, ErrTooLarge
		}
		maxSize -= size
		fields = append(fields, f)
		p = p[n:]
	}
	if len(d.spans) > 0 {
		all := string(d.literals.b)
		for _, s := range d.spans {
			if s.name < s.value {
				fields[s.field].Name = all[s.name:s.value]
			}
			fields[s.field].Value = all[s.value:s.end]
		}
	}
	if required > 0 {
		d.out = appendInt(d.out, 0x80, 7, streamID)
		d.known = max(d.known, required)
	}
	return fields, nil
}

func (d *Decoder) borrow() { d.decoderScratch = decoderScratches.Get().(*decoderScratch) }

// giveBack gives the scratch back, but for what a large section needed.
func (d *Decoder) giveBack() {
	t := d.decoderScratch
	d.decoderScratch = nil
	if cap(t.literals.b) > keptScratch {
		t.literals.b = nil
	}
	if cap(t.spans) > keptScratch/32 {
		t.spans = nil
	}
	t.literals.b, t.spans = t.literals.b[:0], t.spans[:0]
	decoderScratches.Put(t)
}

// parsePrefix reads the prefix of a section (RFC 9204, Section 4.5.1). A length n of 0 or less says that it is invalid.
func (d *Decoder) parsePrefix(b []byte) (required, base uint64, n int) {
	encoded, n := parseInt(b, 8)
	if n <= 0 {
		return 0, 0, malformed
	}
	required, ok := d.requiredInsertCount(encoded)
	if !ok {
		return 0, 0, malformed
	}
	b = b[n:]
	delta, m := parseInt(b, 7)
	if m <= 0 {
		return 0, 0, malformed
	}
	if b[0]&0x80 == 0 {
		return required, required + delta, n + m
	}
	// RFC 9204, Section 4.5.1.2: the Base must not be negative.
	if required <= delta {
		return 0, 0, malformed
	}
	return required, required - delta - 1, n + m
}

// requiredInsertCount undoes the wrapping of the Required Insert Count (RFC 9204, Section 4.5.1.1): of all counts with
// the same remainder it is the one within MaxEntries of our own insert count.
func (d *Decoder) requiredInsertCount(encoded uint64) (uint64, bool) {
	if encoded == 0 {
		return 0, true
	}
	maxEntries := d.maxCapacity / fieldOverhead
	fullRange := 2 * maxEntries
	if encoded > fullRange {
		return 0, false
	}
	maxValue := d.table.inserted + maxEntries
	required := maxValue/fullRange*fullRange + encoded - 1
	if required > maxValue {
		if required <= fullRange {
			return 0, false
		}
		required -= fullRange
	}
	return required, required != 0
}

// parseLine reads one field line representation (RFC 9204, Sections 4.5.2 to 4.5.6). Literal strings go to d.literals,
// and a span with the given field index says where they are.
func (d *Decoder) parseLine(b []byte, required, base uint64, field int) (f Field, n int, err error) {
	var index uint64
	switch first := b[0]; {
	case first&0xc0 == 0xc0: // indexed, static
		if index, n = parseInt(b, 6); n <= 0 || index >= uint64(len(staticTable)) {
			return f, 0, decompressionFailed("invalid static table index")
		}
		return staticTable[index], n, nil
	case first&0x80 != 0: // indexed, dynamic
		if index, n = parseInt(b, 6); n <= 0 {
			return f, 0, errTruncated
		}
		f, err = d.dynamic(base-1-index, required, index < base)
		return f, n, err
	case first&0x40 != 0: // literal with name reference
		if index, n = parseInt(b, 4); n <= 0 {
			return f, 0, errTruncated
		}
		if first&0x10 == 0 {
			f, err = d.dynamic(base-1-index, required, index < base)
		} else if index < uint64(len(staticTable)) {
			f = staticTable[index]
		} else {
			err = decompressionFailed("invalid static table index")
		}
		f.NeverIndex = first&0x20 != 0
	case first&0x20 != 0: // literal with literal name
		f.NeverIndex = first&0x10 != 0
		return d.parseLiteralName(f, b, field)
	case first&0x10 != 0: // indexed, post-Base
		if index, n = parseInt(b, 4); n <= 0 {
			return f, 0, errTruncated
		}
		f, err = d.dynamic(base+index, required, true)
		return f, n, err
	default: // literal with post-Base name reference
		if index, n = parseInt(b, 3); n <= 0 {
			return f, 0, errTruncated
		}
		f, err = d.dynamic(base+index, required, true)
		f.NeverIndex = first&0x08 != 0
	}
	if err != nil {
		return f, 0, err
	}
	f.Value = ""
	start := len(d.literals.b)
	m, err := d.parseValue(b[n:])
	d.spans = append(d.spans, span{field: field, name: start, value: start, end: len(d.literals.b)})
	return f, n + m, err
}

// parseLiteralName reads a literal field line with a literal name.
func (d *Decoder) parseLiteralName(f Field, b []byte, field int) (Field, int, error) {
	name, n := parseString(b, 3, maxInt)
	if n <= 0 {
		return f, 0, errTruncated
	}
	start := len(d.literals.b)
	if !d.literals.decode(name) {
		return f, 0, errHuffman
	}
	if known, ok := knownNames[string(d.literals.b[start:])]; ok {
		f.Name = known
		d.literals.b = d.literals.b[:start]
	}
	value := len(d.literals.b)
	m, err := d.parseValue(b[n:])
	d.spans = append(d.spans, span{field: field, name: start, value: value, end: len(d.literals.b)})
	return f, n + m, err
}

// parseValue reads the string literal of a value into d.literals.
func (d *Decoder) parseValue(b []byte) (n int, err error) {
	value, n := parseString(b, 7, maxInt)
	if n <= 0 {
		return 0, errTruncated
	}
	if !d.literals.decode(value) {
		return 0, errHuffman
	}
	return n, nil
}

// dynamic returns the entry with absolute index i. RFC 9204, Section 2.2.3: a section must not refer to entries
// evicted, nor to any at or above its Required Insert Count.
func (d *Decoder) dynamic(i, required uint64, valid bool) (Field, error) {
	if valid && i < required {
		if f, ok := d.table.get(i); ok {
			return f, nil
		}
	}
	return Field{}, decompressionFailed("reference to a dynamic table entry that does not exist")
}

// block notes that the stream's section waits until the insert count reaches required.
func (d *Decoder) block(streamID, required uint64) error {
	for i := range d.blocked {
		if d.blocked[i].streamID == streamID {
			return ErrBlocked
		}
	}
	// RFC 9204, Section 2.1.2: an encoder keeps to the number of streams that we allow.
	if len(d.blocked) >= d.maxBlocked {
		return decompressionFailed("too many blocked streams")
	}
	d.blocked = append(d.blocked, blockedSection{streamID, required})
	return ErrBlocked
}

// NextUnblocked returns a stream for which Decode returned ErrBlocked and need not do so again.
func (d *Decoder) NextUnblocked() (streamID uint64, ok bool) {
	for i, s := range d.blocked {
		if s.requiredInsertCount <= d.table.inserted {
			d.blocked = append(d.blocked[:i], d.blocked[i+1:]...)
			return s.streamID, true
		}
	}
	return 0, false
}

// Cancel says that no further section of the stream will be decoded, because it was reset or is no longer read
// (RFC 9204, Section 2.2.2.2).
func (d *Decoder) Cancel(streamID uint64) {
	for i := range d.blocked {
		if d.blocked[i].streamID == streamID {
			d.blocked = append(d.blocked[:i], d.blocked[i+1:]...)
			break
		}
	}
	if d.maxCapacity > 0 {
		d.out = appendInt(d.out, 0x40, 6, streamID)
	}
}

// Pending returns bytes for the decoder stream, valid until the next call of another method.
func (d *Decoder) Pending() []byte {
	// Section acknowledgements since the last call may have told the peer of insertions already: the increment says
	// the rest, once for all of them.
	if d.table.inserted > d.known {
		d.out = appendInt(d.out, 0x00, 6, d.table.inserted-d.known)
		d.known = d.table.inserted
	}
	return d.out
}

// Sent removes the first n bytes from Pending.
func (d *Decoder) Sent(n int) {
	d.out = d.out[:copy(d.out, d.out[n:])]
}

var (
	errTruncated = decompressionFailed("invalid integer or truncated field line")
	errHuffman   = decompressionFailed("invalid Huffman code")
)

func decompressionFailed(reason string) error { return &Error{DecompressionFailed, reason} }
