package h3driver

import "sync"

// What has arrived of a body waits in a buffer of the first size until the user reads, then in one of the second:
// bodies that nobody reads stay with QUIC and its flow control.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// ring is a byte queue over a pooled buffer that it owns only while it holds something.
type ring struct {
	buf   []byte // nil, or an array of one of the two pools
	start int
	n     int
}

func (r *ring) len() int { return r.n }

// room returns the next free contiguous bytes, of a buffer of at least size bytes.
func (r *ring) room(size int) []byte {
	if len(r.buf) < size {
		old := *r
		if size <= smallBuffer {
			r.buf = smallBuffers.Get().(*[smallBuffer]byte)[:]
		} else {
			r.buf = largeBuffers.Get().(*[largeBuffer]byte)[:]
		}
		r.start, r.n = 0, 0
		for old.n > 0 {
			p := old.peek()
			r.n += copy(r.buf[r.n:], p)
			old.discard(len(p))
		}
		old.release()
	}
	end := r.start + r.n
	if end >= len(r.buf) {
		end -= len(r.buf)
		return r.buf[end:r.start]
	}
	return r.buf[end:]
}

// added says that n bytes of what room returned were filled.
func (r *ring) added(n int) { r.n += n }

// peek returns the first contiguous bytes.
func (r *ring) peek() []byte { return r.buf[r.start:min(r.start+r.n, len(r.buf))] }

func (r *ring) discard(n int) {
	r.n -= n
	if r.start += n; r.start >= len(r.buf) {
		r.start -= len(r.buf)
	}
	if r.n == 0 {
		r.release()
	}
}

// release gives the buffer back to its pool.
func (r *ring) release() {
	switch len(r.buf) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(r.buf))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(r.buf))
	}
	*r = ring{}
}

// read moves bytes to p.
func (r *ring) read(p []byte) (n int) {
	for r.n > 0 && n < len(p) {
		m := copy(p[n:], r.peek())
		r.discard(m)
		n += m
	}
	return n
}
