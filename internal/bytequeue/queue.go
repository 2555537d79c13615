// Package bytequeue queues byte strings, such as datagrams, without an allocation for each.
package bytequeue

import "encoding/binary"

// Queue is a queue of byte strings of up to 65,535 bytes in one buffer, each after its length. The zero value is empty.
type Queue struct {
	buf  []byte
	head int
}

const prefix = 2

// Empty reports whether there is nothing in the queue.
func (q *Queue) Empty() bool { return q.head == len(q.buf) }

// Len returns how many bytes are in the queue, with two for each string.
func (q *Queue) Len() int { return len(q.buf) - q.head }

// Cap returns how many bytes the queue owns.
func (q *Queue) Cap() int { return cap(q.buf) }

// Push appends a copy of p. It returns false if the queue would hold more than limit bytes, with two for each string.
func (q *Queue) Push(p []byte, limit int) bool {
	need := prefix + len(p)
	if len(q.buf)-q.head+need > limit {
		return false
	}
	if len(q.buf)+need > cap(q.buf) && q.head >= len(q.buf)/2 {
		q.buf = q.buf[:copy(q.buf, q.buf[q.head:])]
		q.head = 0
	}
	q.buf = binary.NativeEndian.AppendUint16(q.buf, uint16(len(p)))
	q.buf = append(q.buf, p...)
	return true
}

// Peek returns the first string. The queue must not be empty.
func (q *Queue) Peek() []byte {
	n := int(binary.NativeEndian.Uint16(q.buf[q.head:]))
	return q.buf[q.head+prefix : q.head+prefix+n]
}

// Drop removes the first string. Its bytes stay until the next Push.
func (q *Queue) Drop() {
	q.head += prefix + int(binary.NativeEndian.Uint16(q.buf[q.head:]))
	if q.Empty() {
		q.buf, q.head = q.buf[:0], 0
	}
}

// kept is how many bytes an empty queue may always keep.
const kept = 4 << 10

// Slack reports whether Shrink would give memory back.
func (q *Queue) Slack() bool { return q.Empty() && cap(q.buf) > kept }

// Shrink gives back what an empty queue holds.
func (q *Queue) Shrink() {
	if q.Slack() {
		*q = Queue{}
	}
}
