// Package blocks lends memory of three fixed sizes from a pool that all connections share. Stream data waits in it: messages
// in small blocks, bulk data in large ones. Fixed sizes make what a peer can pin a matter of counting.
package blocks

import "sync"

// The sizes of blocks, in bytes. A large one holds a dozen packets, so that going to the pool is rare in bulk transfers. A
// thousand streams that each have a packet's worth of data in one would use as many times the memory that the nearest
// caches hold: for them there are medium ones.
const (
	SmallSize  = 1 << 10
	MediumSize = 4 << 10
	LargeSize  = 16 << 10
)

var (
	small  = sync.Pool{New: func() any { return new([SmallSize]byte) }}
	medium = sync.Pool{New: func() any { return new([MediumSize]byte) }}
	large  = sync.Pool{New: func() any { return new([LargeSize]byte) }}
)

// Get returns a block of the smallest size that n bytes fit, or of LargeSize if there is none. Its contents are arbitrary.
func Get(n int) []byte {
	switch {
	case n <= SmallSize:
		return small.Get().(*[SmallSize]byte)[:]
	case n <= MediumSize:
		return medium.Get().(*[MediumSize]byte)[:]
	}
	return large.Get().(*[LargeSize]byte)[:]
}

// Put gives back a block that Get returned, by a slice that starts where the block does. Nothing may refer to it any
// more.
func Put(b []byte) {
	switch cap(b) {
	case SmallSize:
		small.Put((*[SmallSize]byte)(b[:SmallSize]))
	case MediumSize:
		medium.Put((*[MediumSize]byte)(b[:MediumSize]))
	case LargeSize:
		large.Put((*[LargeSize]byte)(b[:LargeSize]))
	default:
		panic("blocks: not a block")
	}
}
