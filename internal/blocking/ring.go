package blocking

import "sync"

// What has arrived of a body waits in a buffer of the first size until the user reads, then in one of the second:
// bodies that nobody reads stay with QUIC and its flow control.
const (
	SmallBuffer = 4 << 10
	LargeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([SmallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([LargeBuffer]byte) }}
)

// Ring is a byte queue over a pooled buffer that it owns only while it holds something.
type Ring struct {
	buf   []byte // nil, or an array of one of the two pools
	start int
	n     int
}

// Len returns the number of bytes that wait.
func (r *Ring) Len() int { return r.n }

// Cap returns the size of the buffer that the ring owns now.
func (r *Ring) Cap() int { return len(r.buf) }

// Room returns the next free contiguous bytes, of a buffer of at least size bytes.
func (r *Ring) Room(size int) []byte {
	if len(r.buf) < size {
		old := *r
		if size <= SmallBuffer {
			r.buf = smallBuffers.Get().(*[SmallBuffer]byte)[:]
		} else {
			r.buf = largeBuffers.Get().(*[LargeBuffer]byte)[:]
		}
		r.start, r.n = 0, 0
		for old.n > 0 {
			p := old.peek()
			r.n += copy(r.buf[r.n:], p)
			old.discard(len(p))
		}
		old.Release()
	}
	end := r.start + r.n
	if end >= len(r.buf) {
		end -= len(r.buf)
		return r.buf[end:r.start]
	}
	return r.buf[end:]
}

// Added says that n bytes of what Room returned were filled.
func (r *Ring) Added(n int) { r.n += n }

// peek returns the first contiguous bytes.
func (r *Ring) peek() []byte { return r.buf[r.start:min(r.start+r.n, len(r.buf))] }

func (r *Ring) discard(n int) {
	r.n -= n
	if r.start += n; r.start >= len(r.buf) {
		r.start -= len(r.buf)
	}
	if r.n == 0 {
		r.Release()
	}
}

// Release gives the buffer back to its pool.
func (r *Ring) Release() {
	switch len(r.buf) {
	case SmallBuffer:
		smallBuffers.Put((*[SmallBuffer]byte)(r.buf))
	case LargeBuffer:
		largeBuffers.Put((*[LargeBuffer]byte)(r.buf))
	}
	*r = Ring{}
}

// Read moves bytes to p.
func (r *Ring) Read(p []byte) (n int) {
	for r.n > 0 && n < len(p) {
		m := copy(p[n:], r.peek())
		r.discard(m)
		n += m
	}
	return n
}
