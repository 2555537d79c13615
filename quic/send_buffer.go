package quic

import (
	"sort"

	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/rangeset"
)

// sendChunk is a piece of a stream's data that is kept until the peer has acknowledged it. Data lies at the start of a
// pooled block and may grow up to its end. Only write and drop depend on that.
type sendChunk struct {
	start uint64
	data  []byte
}

func (c *sendChunk) end() uint64 { return c.start + uint64(len(c.data)) }

// sendBuffer is the data of a stream's sending part from the first unacknowledged byte on.
type sendBuffer struct {
	chunks []sendChunk // contiguous, in order; the live ones are chunks[head:]
	head   int
	cursor int // index of the chunk last read from
	end    uint64
	acked  uint64       // everything before is acknowledged
	later  rangeset.Set // acknowledged beyond acked
	// first is what chunks starts with, so that a stream of few bytes costs no allocation.
	first [1]sendChunk
}

// write appends a copy of p.
func (b *sendBuffer) write(p []byte) {
	if n := len(b.chunks); n > b.head {
		tail := &b.chunks[n-1]
		n := copy(tail.data[len(tail.data):cap(tail.data)], p)
		tail.data = tail.data[:len(tail.data)+n]
		b.end += uint64(n)
		p = p[n:]
	}
	for len(p) > 0 {
		// What follows a full block is likely to be followed by more.
		want := len(p)
		if len(b.chunks) > b.head {
			want = blocks.LargeSize
		}
		block := blocks.Get(want)
		n := copy(block, p)
		b.push(sendChunk{start: b.end, data: block[:n]})
		b.end += uint64(n)
		p = p[n:]
	}
}

func (b *sendBuffer) push(c sendChunk) {
	switch {
	case b.chunks == nil:
		b.chunks = b.first[:0]
	case b.head > 0 && len(b.chunks) == cap(b.chunks) && b.head >= len(b.chunks)/2:
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
		b.cursor = i
	}
	return dst
}

// find returns the index of the chunk that holds the byte at offset. New data is read in order: it is mostly in the
// chunk last read from or in the next.
func (b *sendBuffer) find(offset uint64) int {
	for i := max(b.cursor, b.head); i < min(b.cursor+2, len(b.chunks)); i++ {
		if c := &b.chunks[i]; c.start <= offset && offset < c.end() {
			return i
		}
	}
	live := b.chunks[b.head:]
	return b.head + sort.Search(len(live), func(i int) bool { return offset < live[i].end() })
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
	for b.head < len(b.chunks) && b.chunks[b.head].end() <= b.acked {
		b.drop(b.head)
		b.head++
	}
	if b.head == len(b.chunks) {
		b.chunks = b.chunks[:0]
		b.head, b.cursor = 0, 0
		if cap(b.chunks) > keepStorage {
			b.chunks = nil
		}
		if cap(b.later.Ranges()) > keepStorage {
			b.later = rangeset.Set{}
		}
	}
}

func (b *sendBuffer) drop(i int) {
	blocks.Put(b.chunks[i].data)
	b.chunks[i] = sendChunk{}
}

// release frees everything. Only the offsets remain.
func (b *sendBuffer) release() {
	for i := b.head; i < len(b.chunks); i++ {
		b.drop(i)
	}
	b.chunks, b.head, b.cursor = nil, 0, 0
	b.later = rangeset.Set{}
}
