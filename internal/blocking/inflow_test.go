package blocking

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a stream on which bytes arrive.
type sender struct {
	mu      sync.Mutex
	in      Inflow
	unread  int
	arrived []byte
	over    bool
}

func (s *sender) Kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill()
}

func (s *sender) fill() {
	if err := s.in.Fill(s, s.unread); err != nil {
		s.in.End(err)
	}
}

func (s *sender) Waits() {}

func (s *sender) Take(p []byte) (int, bool, error) {
	n := copy(p, s.arrived)
	s.arrived = s.arrived[n:]
	switch {
	case len(s.arrived) > 0:
		return n, true, nil
	case s.over:
		return n, true, io.EOF
	}
	return n, false, nil
}

// arrive is the step that finds b, and the end if there is no b.
func (s *sender) arrive(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, b...)
	s.over = b == nil
	s.in.More = true
	s.fill()
}

func (s *sender) Read(p []byte) (int, error) { return s.in.Read(&s.mu, s, p) }

// What arrives is what is read, however long the pieces are on both sides.
func TestInflow(t *testing.T) {
	want := make([]byte, 3*LargeBuffer+1000)
	for i := range want {
		want[i] = byte(i * 7 / 5)
	}
	for _, piece := range []int{1000, SmallBuffer, LargeBuffer + 1, len(want)} {
		for _, buffer := range []int{700, LargeBuffer, len(want)} {
			for _, unread := range []int{0, SmallBuffer} {
				synctest.Test(t, func(t *testing.T) {
					s := &sender{unread: unread}
					go func() {
						for rest := want; len(rest) > 0; {
							n := min(piece, len(rest))
							s.arrive(rest[:n])
							rest = rest[n:]
							if n%3 == 0 {
								synctest.Wait()
							}
						}
						s.arrive(nil)
					}()
					var got []byte
					p := make([]byte, buffer)
					for {
						n, err := s.Read(p)
						got = append(got, p[:n]...)
						if err == io.EOF {
							break
						}
						if err != nil || n == 0 {
							t.Fatal(n, err)
						}
					}
					if !bytes.Equal(got, want) {
						t.Errorf("pieces of %d, buffer of %d: %d bytes differ", piece, buffer, len(got))
					}
				})
			}
		}
	}
}

// What nobody reads stays with the stream.
func TestInflowUnread(t *testing.T) {
	for _, unread := range []int{0, SmallBuffer} {
		s := &sender{unread: unread}
		s.arrive(make([]byte, LargeBuffer))
		if s.in.Buffered() != unread || s.in.Cap() != unread || s.in.Started() {
			t.Errorf("%d bytes are kept, in %d, of %d", s.in.Buffered(), s.in.Cap(), unread)
		}
		if n, err := s.Read(make([]byte, LargeBuffer)); n == 0 || err != nil {
			t.Error(n, err)
		}
		s.mu.Lock()
		s.in.Drop()
		if s.in.Buffered() > 0 || s.in.Cap() > 0 || !s.in.Started() {
			t.Error("something is kept")
		}
		s.mu.Unlock()
	}
}

func TestInflowDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sender)
		set := func(d time.Duration) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.in.SetDeadline(time.Now().Add(d))
		}
		began := time.Now()
		set(time.Second)
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Error(err, time.Since(began))
		}
		set(time.Hour)
		go func() {
			synctest.Wait()
			set(0) // while it waits
		}()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Error(err, time.Since(began))
		}
		set(time.Hour)
		s.arrive([]byte("x"))
		if n, err := s.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}
