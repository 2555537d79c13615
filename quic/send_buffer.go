package quic

import (
	"sort"

	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/rangeset"
)

// sendChunk is a piece of a stream's data that is kept until the peer has acknowledged it. Data lies at the start of a
// pooled block and may grow up to its end, or it is lent by the application and as long as its capacity. Only write, lend
// and drop depend on that.
type sendChunk struct {
	start uint64
	data  []byte
}

func (c *sendChunk) end() uint64 { return c.start + uint64(len(c.data)) }

// sendBuffer is the data of a stream's sending part from the first unacknowledged byte on.
type sendBuffer struct {
	chunks []sendChunk // contiguous, in order; the live ones are chunks[head:]
	head   int32
	cursor int32 // index of the chunk last read from
	end    uint64
	acked  uint64       // everything before is acknowledged
	later  rangeset.Set // acknowledged beyond acked
	loans  *loans       // which chunks are lent; nil as long as none was
	// first is what chunks starts with, so that a stream of few bytes costs no allocation.
	first [1]sendChunk
}

// write appends a copy of p.
func (b *sendBuffer) write(p []byte) {
	if n := len(b.chunks); n > int(b.head) {
		tail := &b.chunks[n-1]
		n := copy(tail.data[len(tail.data):cap(tail.data)], p)
		tail.data = tail.data[:len(tail.data)+n]
		b.end += uint64(n)
		p = p[n:]
	}
	for len(p) > 0 {
		// What follows a full block is likely to be followed by more, what comes between loans is not.
		want := len(p)
		if n := len(b.chunks); n > int(b.head) && !b.isLent(n-1) {
			want = blocks.LargeSize
			if b.end-b.acked < 2*blocks.MediumSize {
				// Not much of it: one of many streams, whose memory together is to stay in the caches.
				want = max(len(p), blocks.MediumSize)
			}
		}
		block := blocks.Get(want)
		n := copy(block, p)
		b.push(sendChunk{start: b.end, data: block[:n]})
		b.end += uint64(n)
		p = p[n:]
	}
}

// lend appends p itself, which owner gets back when it is dropped.
func (b *sendBuffer) lend(p []byte, owner Releaser) {
	if b.loans == nil {
		b.loans = new(loans)
	}
	b.loans.push(loan{b.end, owner})
	b.push(sendChunk{start: b.end, data: p[:len(p):len(p)]})
	b.end += uint64(len(p))
}

func (b *sendBuffer) push(c sendChunk) {
	switch {
	case b.chunks == nil:
		b.chunks = b.first[:0]
	case b.head > 0 && len(b.chunks) == cap(b.chunks) && int(b.head) >= len(b.chunks)/2:
		n := copy(b.chunks, b.chunks[b.head:])
		clear(b.chunks[n:])
		b.chunks = b.chunks[:n]
		b.cursor = max(b.cursor-b.head, 0)
		b.head = 0
	}
	b.chunks = append(b.chunks, c)
}

// appendTo appends the n bytes at offset to dst. They must lie between acked and end.
func (b *sendBuffer) appendTo(dst []byte, offset uint64, n int) []byte {
	for i := b.find(offset); n > 0; i++ {
		c := &b.chunks[i]
		data := c.data[offset-c.start:]
		data = data[:min(n, len(data))]
		dst = append(dst, data...)
		offset += uint64(len(data))
		n -= len(data)
		b.cursor = int32(i)
	}
	return dst
}

// find returns the index of the chunk that holds the byte at offset. New data is read in order: it is mostly in the
// chunk last read from or in the next.
func (b *sendBuffer) find(offset uint64) int {
	for i := int(max(b.cursor, b.head)); i < min(int(b.cursor)+2, len(b.chunks)); i++ {
		if c := &b.chunks[i]; c.start <= offset && offset < c.end() {
			return i
		}
	}
	live := b.chunks[b.head:]
	return int(b.head) + sort.Search(len(live), func(i int) bool { return offset < live[i].end() })
}

// ack notes that the peer has the bytes from start up to end, and frees what is acknowledged without a gap.
func (b *sendBuffer) ack(start, end uint64) {
	if start > b.acked {
		b.later.Add(start, end)
		return
	}
	if end <= b.acked {
		return
	}
	b.acked = end
	for b.later.Len() > 0 && b.later.Range(0).Start <= b.acked {
		b.acked = max(b.acked, b.later.Range(0).End)
		b.later.DropFirst(1)
	}
	for int(b.head) < len(b.chunks) && b.chunks[b.head].end() <= b.acked {
		b.drop(int(b.head))
		b.head++
	}
	if int(b.head) == len(b.chunks) {
		b.chunks = b.chunks[:0]
		b.head, b.cursor = 0, 0
		if cap(b.chunks) > keepStorage {
			b.chunks = nil
		}
		if cap(b.later.Ranges()) > keepStorage {
			b.later = rangeset.Set{}
		}
		if b.loans != nil && cap(b.loans.queue) > keepStorage {
			b.loans = nil
		}
	}
}

// truncate drops what lies beyond size. Nothing can be written any more.
func (b *sendBuffer) truncate(size uint64) {
	n := len(b.chunks)
	for n > int(b.head) && b.chunks[n-1].start >= size {
		n--
		b.drop(n)
	}
	b.chunks = b.chunks[:n]
	if n > int(b.head) {
		last := &b.chunks[n-1]
		last.data = last.data[:min(uint64(len(last.data)), size-last.start)]
	}
	b.end = size
}

// isLent reports whether chunk i, the last one, is lent.
func (b *sendBuffer) isLent(i int) bool { return b.loans != nil && b.loans.last() == b.chunks[i].start }

// drop gives back the memory of chunk i, the first or the last one.
func (b *sendBuffer) drop(i int) {
	c := b.chunks[i]
	b.chunks[i] = sendChunk{}
	if b.loans != nil {
		if owner, ok := b.loans.take(c.start); ok {
			if owner != nil {
				owner.Release()
			}
			return
		}
	}
	blocks.Put(c.data)
}

// release frees everything. Only the offsets remain.
func (b *sendBuffer) release() {
	for i := int(b.head); i < len(b.chunks); i++ {
		b.drop(i)
	}
	b.chunks, b.head, b.cursor = nil, 0, 0
	b.loans = nil
	b.later = rangeset.Set{}
}
