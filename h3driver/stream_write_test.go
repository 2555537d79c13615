package h3driver

import (
	"errors"
	"testing"
)

// TestTakenThenRefused: a peer that wants no more because it has all that it needs does not make the write fail that brought it.
func TestTakenThenRefused(t *testing.T) {
	s := new(Stream)
	out := &s.out
	refused := errors.New("refused")
	if err := s.hand(Part{Body: []byte("bye")}); err != nil {
		t.Fatal(err)
	}
	out.offset = 3
	out.take()
	out.fail(refused) // before the writer looks
	if n, err := out.result(); n != 3 || err != nil {
		t.Errorf("the write that was taken: %d, %v", n, err)
	}
	if err := s.hand(Part{Body: []byte("more")}); err != refused {
		t.Errorf("the next one: %v", err)
	}

	s = new(Stream)
	out = &s.out
	s.hand(Part{Body: []byte("bye")})
	out.offset = 2
	out.fail(refused)
	if n, err := out.result(); n != 2 || err != refused {
		t.Errorf("the write that was not: %d, %v", n, err)
	}
}
