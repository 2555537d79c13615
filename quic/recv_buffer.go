package quic

import (
	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/rangeset"
)

// maxGaps bounds the gaps in what was received of a stream: more are the work of a peer that wants us to keep books (RFC
// 9000, Section 21.6), or of a large window that ran into a full queue, where every second packet is lost.
const maxGaps = 4096

// keepStorage is how many elements the storage of a buffer's slices may have room for while they are empty: what a burst
// took is given back, and small exchanges allocate nothing.
const keepStorage = 128

// recvBuffer puts a stream's received data in order. It lies in pooled blocks, each for blocks.LargeSize bytes of the
// stream, at the place that its offset gives: however the peer fragments its data, no more blocks are held than the
// distance between the first byte not read and the highest one received makes necessary.
type recvBuffer struct {
	blocks [][]byte // the live ones are blocks[head:]; nil where nothing has arrived yet
	head   int
	origin uint64       // offset of the first byte of blocks[head]
	read   uint64       // everything before has been consumed
	have   uint64       // everything before has arrived
	later  rangeset.Set // arrived beyond have
	// first is what blocks starts with, so that a stream of few bytes costs no allocation.
	first [1][]byte
}

// write stores data, which lies at offset, as far as it has not arrived before: bytes once received never change. It
// returns how many were new, and false if it took nothing because there would be too many gaps.
func (b *recvBuffer) write(offset uint64, data []byte) (fresh int, ok bool) {
	end := offset + uint64(len(data))
	if end <= b.have {
		return 0, true
	}
	if offset < b.have {
		data = data[b.have-offset:]
		offset = b.have
	}
	if b.later.Empty() && offset == b.have {
		b.store(offset, data)
		b.have = end
		return len(data), true
	}
	if b.later.Len() >= maxGaps && offset > b.have {
		// What touches something else is no gap more.
		around := rangeset.Range{Start: offset - 1, End: end + 1}
		if gap, ok := b.later.Gap(around.Start, around.End); ok && gap == around {
			return 0, false
		}
	}
	fresh = b.fill(offset, data)
	if fresh == 0 {
		return 0, true
	}
	b.later.Add(offset, end)
	if first := b.later.Range(0); first.Start == b.have {
		b.have = first.End
		b.later.DropFirst(1)
	}
	return fresh, true
}

// fill stores those parts of data that are missing.
func (b *recvBuffer) fill(offset uint64, data []byte) (fresh int) {
	end := offset + uint64(len(data))
	for at := offset; ; {
		gap, ok := b.later.Gap(at, end)
		if !ok {
			return fresh
		}
		b.store(gap.Start, data[gap.Start-offset:gap.End-offset])
		fresh += int(gap.Len())
		at = gap.End
	}
}

func (b *recvBuffer) store(offset uint64, data []byte) {
	if b.head == len(b.blocks) {
		b.origin = b.read
	}
	for len(data) > 0 {
		at := offset - b.origin
		i, within := b.head+int(at/blocks.LargeSize), int(at%blocks.LargeSize)
		if i >= len(b.blocks) {
			i = b.extend(i)
		}
		n := min(len(data), blocks.LargeSize-within)
		block := b.blocks[i]
		if len(block) < within+n {
			want := within + n
			if want > blocks.SmallSize {
				want = blocks.LargeSize // not to be copied once more
			}
			bigger := blocks.Get(want)
			if block != nil {
				copy(bigger, block)
				blocks.Put(block)
			}
			block = bigger
			b.blocks[i] = block
		}
		copy(block[within:], data[:n])
		data = data[n:]
		offset += uint64(n)
	}
}

// extend makes room in b.blocks for index i, and returns the index that the same block has afterwards.
func (b *recvBuffer) extend(i int) int {
	if b.blocks == nil {
		b.blocks = b.first[:0]
	}
	if i >= cap(b.blocks) && b.head >= len(b.blocks)/2 {
		n := copy(b.blocks, b.blocks[b.head:])
		clear(b.blocks[n:])
		b.blocks = b.blocks[:n]
		i -= b.head
		b.head = 0
	}
	for len(b.blocks) <= i {
		b.blocks = append(b.blocks, nil)
	}
	return i
}

// peek returns the next bytes in order, as far as they lie in one block.
func (b *recvBuffer) peek() []byte {
	if b.read == b.have {
		return nil
	}
	return b.blocks[b.head][b.read-b.origin : min(b.have-b.origin, blocks.LargeSize)]
}

// discard consumes n bytes, which must have arrived in order.
func (b *recvBuffer) discard(n int) {
	b.read += uint64(n)
	if b.read == b.have && b.later.Empty() {
		b.free()
		return
	}
	for b.read-b.origin >= blocks.LargeSize {
		if block := b.blocks[b.head]; block != nil {
			blocks.Put(block)
			b.blocks[b.head] = nil
		}
		b.head++
		b.origin += blocks.LargeSize
	}
}

// free gives back all blocks, when nothing in them is needed any more.
func (b *recvBuffer) free() {
	for i, block := range b.blocks[b.head:] {
		if block != nil {
			blocks.Put(block)
			b.blocks[b.head+i] = nil
		}
	}
	b.blocks = b.blocks[:0]
	b.head = 0
	if cap(b.blocks) > keepStorage {
		b.blocks = nil
	}
	if cap(b.later.Ranges()) > keepStorage {
		b.later = rangeset.Set{}
	}
}

// release gives back everything. Only the offsets remain.
func (b *recvBuffer) release() {
	b.free()
	b.blocks = nil
	b.later = rangeset.Set{}
}
