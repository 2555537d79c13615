// Package capsule is the Capsule Protocol (RFC 9297, Section 3): what the bytes of a tunnel are made of where an HTTP Upgrade
// Token says so, such as connect-udp, connect-ip and webtransport.
//
// A capsule has a type, a length and a value. A [Reader] reads capsules one after the other from the body of the peer's
// message:
//
//	r := capsule.NewReader(body)
//	for {
//		t, n, err := r.Next()
//		if err != nil {
//			return err // io.EOF: the tunnel is closed
//		}
//		switch t {
//		case capsule.Datagram:
//			value, err := r.Value(buf[:0], 1500)
//			...
//		} // capsules of other types are skipped by the next Next, as the RFC asks
//	}
//
// [Append] makes capsules to be written.
package capsule

import (
	"bufio"
	"errors"
	"io"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Type is a capsule type.
type Type uint64

// Datagram is the type of a capsule that carries an HTTP datagram (RFC 9297, Section 3.5).
const Datagram Type = 0x00

// ErrTooLarge: the value is longer than the caller of Value wants.
var ErrTooLarge = errors.New("capsule: the value is too large")

// Append appends a capsule to b. t and the length are at most 2^62-1.
func Append(b []byte, t Type, value []byte) []byte {
	return append(AppendHeader(b, t, uint64(len(value))), value...)
}

// AppendHeader appends the header of a capsule whose value of n bytes follows.
func AppendHeader(b []byte, t Type, n uint64) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, uint64(t)), n)
}

// Reader reads capsules. It holds at most a kilobyte of what has arrived, so that long values use up no flow control that
// others need. It is not safe for concurrent use.
type Reader struct {
	r    *bufio.Reader
	left uint64 // bytes of the capsule's value that were not read
	err  error
}

// NewReader returns a Reader of what r reads.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 1024)} }

// Next goes to the next capsule, past what was not read of the one before, and returns its type and the length of its value in
// bytes. It returns io.EOF if the tunnel ended with the capsule before, io.ErrUnexpectedEOF if it ended within a capsule, which
// makes the message malformed (RFC 9297, Section 3.3), or the error of reading. After an error it returns that again.
func (r *Reader) Next() (Type, uint64, error) {
	if r.err == nil {
		r.err = r.skip()
	}
	if r.err != nil {
		return 0, 0, r.err
	}
	t, err := r.varint()
	if err != nil {
		r.err = err
		return 0, 0, err
	}
	if r.left, err = r.varint(); err != nil {
		r.err = noEOF(err)
		return 0, 0, r.err
	}
	return Type(t), r.left, nil
}

func (r *Reader) skip() error {
	for r.left > 0 {
		n, err := r.r.Discard(int(min(r.left, 1<<30)))
		r.left -= uint64(n)
		if err != nil {
			return noEOF(err)
		}
	}
	return nil
}

// varint reads an integer (RFC 9000, Section 16). It returns io.EOF before the first byte only.
func (r *Reader) varint() (uint64, error) {
	first, err := r.r.ReadByte()
	if err != nil {
		return 0, err
	}
	b := [8]byte{first}
	n := 1 << (first >> 6)
	if _, err := io.ReadFull(r.r, b[1:n]); err != nil {
		return 0, noEOF(err)
	}
	v, _ := wire.ParseVarint(b[:n])
	return v, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read reads the value of the capsule that Next went to. It returns io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p[:min(uint64(len(p)), r.left)])
	r.left -= uint64(n)
	if err != nil {
		r.err = noEOF(err)
	}
	return n, r.err
}

// Value appends the rest of the capsule's value to b, if it has at most limit bytes. Else it reads nothing and returns
// ErrTooLarge, after which Next or Read go on.
func (r *Reader) Value(b []byte, limit int) ([]byte, error) {
	if r.left > uint64(max(limit, 0)) {
		return b, ErrTooLarge
	}
	start := len(b)
	b = append(b, make([]byte, r.left)...)
	n, err := io.ReadFull(r, b[start:])
	return b[:start+n], noEOF(err)
}
