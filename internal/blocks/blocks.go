// Package blocks lends memory of two fixed sizes from a pool that all connections share. Stream data waits in it: small
// messages in small blocks, bulk data in large ones. Fixed sizes make what a peer can pin a matter of counting.
package blocks

import "sync"

// The sizes of blocks, in bytes. A large one holds a dozen packets, so that going to the pool is rare in bulk
// transfers, and a stream that holds one partly filled wastes little.
const (
	SmallSize = 1 << 10
	LargeSize = 16 << 10
)

var (
	small = sync.Pool{New: func() any { return new([SmallSize]byte) }}
	large = sync.Pool{New: func() any { return new([LargeSize]byte) }}
)

// Get returns a block of SmallSize bytes if n fits one, else of LargeSize. Its contents are arbitrary.
func Get(n int) []byte {
	if n <= SmallSize {
		return small.Get().(*[SmallSize]byte)[:]
	}
	return large.Get().(*[LargeSize]byte)[:]
}

// Put gives back a block that Get returned, by a slice that starts where the block does. Nothing may refer to it any
// more.
func Put(b []byte) {
	switch cap(b) {
	case SmallSize:
		small.Put((*[SmallSize]byte)(b[:SmallSize]))
	case LargeSize:
		large.Put((*[LargeSize]byte)(b[:LargeSize]))
	default:
		panic("blocks: not a block")
	}
}
