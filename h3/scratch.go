package h3

import "sync"

// scratch is memory that messages need in passing. Connections borrow it from a pool, so that an idle one has none.
type scratch struct {
	fields []Field // of the last event
	buf    []byte  // where sections are encoded
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// keptFields and keptBuffer bound what a scratch keeps, in fields and in bytes.
const (
	keptFields = 256
	keptBuffer = 16 << 10
)

// borrow returns the connection's scratch.
func (c *Conn) borrow() *scratch {
	if c.scratch == nil {
		c.scratch = scratches.Get().(*scratch)
	}
	return c.scratch
}

// giveBack gives the scratch back, if the connection has one.
func (c *Conn) giveBack() {
	t := c.scratch
	if t == nil {
		return
	}
	c.scratch = nil
	if cap(t.fields) > keptFields {
		t.fields = nil
	}
	if cap(t.buf) > keptBuffer {
		t.buf = nil
	}
	clear(t.fields[:cap(t.fields)]) // their strings are the application's
	scratches.Put(t)
}
