package wire

import (
	"bytes"
	"testing"
)

// RFC 9000, Section 17.2 (MUST 2, 4).
func TestConnectionID(t *testing.T) {
	for n := range MaxConnectionIDLen + 1 {
		b := bytes.Repeat([]byte{0xab}, n)
		c := NewConnectionID(b)
		if c.Len() != n || !bytes.Equal(c.Bytes(), b) || !bytes.Equal(c.Append([]byte{1})[1:], b) || len(c.String()) != 2*n {
			t.Errorf("%d bytes: %v", n, c)
		}
		if c != NewConnectionID(b) || n > 0 && c == NewConnectionID(b[1:]) {
			t.Errorf("%d bytes: comparison", n)
		}
	}
	// Zero bytes count: IDs that differ in length only are different.
	if NewConnectionID([]byte{0}) == NewConnectionID(nil) {
		t.Error("an ID of one zero byte equals the empty one")
	}
	defer func() {
		if recover() == nil {
			t.Error("21 bytes were taken")
		}
	}()
	NewConnectionID(make([]byte, 21))
}
