package capsule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

type capsule struct {
	t     Type
	value []byte
}

var someCapsules = []capsule{
	{Datagram, nil}, {Datagram, []byte("x")}, {0x3f, make([]byte, 63)}, {0x40, make([]byte, 64)},
	{1 << 20, bytes.Repeat([]byte("long "), 10_000)}, {1<<62 - 1, []byte("end")},
}

func encode(all []capsule) (b []byte) {
	for _, c := range all {
		b = Append(b, c.t, c.value)
	}
	return b
}

// TestRoundTrip reads what Append wrote, in pieces of all kinds.
func TestRoundTrip(t *testing.T) {
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader,
		"error with data": iotest.DataErrReader,
	} {
		r := NewReader(wrap(bytes.NewReader(encode(someCapsules))))
		for i, want := range someCapsules {
			typ, n, err := r.Next()
			if typ != want.t || n != uint64(len(want.value)) || err != nil {
				t.Fatalf("%s: %d: %d, %d, %v", name, i, typ, n, err)
			}
			got, err := r.Value([]byte("before"), len(want.value))
			if !bytes.Equal(got, append([]byte("before"), want.value...)) || err != nil {
				t.Fatalf("%s: %d: %d bytes, %v", name, i, len(got), err)
			}
		}
		for range 2 {
			if _, _, err := r.Next(); err != io.EOF {
				t.Errorf("%s: at the end: %v", name, err)
			}
		}
	}
}

// TestSkip reads the values in part or not at all.
func TestSkip(t *testing.T) {
	for part := range 3 {
		r := NewReader(bytes.NewReader(encode(someCapsules)))
		for i, want := range someCapsules {
			if typ, _, err := r.Next(); typ != want.t || err != nil {
				t.Fatalf("%d: %d, %v", i, typ, err)
			}
			if _, err := r.Value(nil, len(want.value)-1); len(want.value) > 0 && err != ErrTooLarge {
				t.Errorf("%d: %v", i, err)
			}
			n, err := io.ReadFull(r, make([]byte, part))
			if n != min(part, len(want.value)) || n == part && err != nil {
				t.Errorf("%d: read %d of %d: %v", i, n, part, err)
			}
		}
	}
}

// TestTruncated ends the tunnel at every place: between capsules that is its end, elsewhere it is malformed.
func TestTruncated(t *testing.T) {
	all := someCapsules[:4]
	b := encode(all)
	var between []int
	for i := range all {
		between = append(between, len(encode(all[:i])))
	}
	broken := errors.New("broken")
	for end := range b {
		for _, read := range []bool{false, true} {
			run := func(r *Reader) error {
				for {
					if _, n, err := r.Next(); err != nil {
						return err
					} else if read {
						if _, err := r.Value(nil, int(n)); err != nil {
							return err
						}
					}
				}
			}
			want := io.ErrUnexpectedEOF
			if slices.Contains(between, end) {
				want = io.EOF
			}
			if err := run(NewReader(bytes.NewReader(b[:end]))); err != want {
				t.Errorf("at %d, reading %v: %v, want %v", end, read, err, want)
			}
			if err := run(NewReader(io.MultiReader(bytes.NewReader(b[:end]), iotest.ErrReader(broken)))); err != broken {
				t.Errorf("at %d, reading %v: %v", end, read, err)
			}
		}
	}
}

// FuzzReader reads arbitrary bytes. What was read whole, written again, is read as the same.
func FuzzReader(f *testing.F) {
	f.Add(encode(someCapsules[:4]))
	f.Add([]byte{0x40, 0x00, 0x40, 0x01, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (all []capsule, err error) {
			r := NewReader(bytes.NewReader(b))
			for {
				typ, _, err := r.Next()
				if err != nil {
					return all, err
				}
				value, err := r.Value(nil, len(b))
				if err != nil {
					continue // too large: the next Next finds the end of the input
				}
				all = append(all, capsule{typ, value})
			}
		}
		all, err := read(b)
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		again, err := read(encode(all))
		if err != io.EOF || fmt.Sprint(all) != fmt.Sprint(again) {
			t.Errorf("%v, then %v, %v", all, again, err)
		}
	})
}

func ExampleReader() {
	tunnel := Append(nil, Datagram, []byte("hello"))
	tunnel = Append(tunnel, 0x1234, []byte("of a type that nobody knows"))
	r := NewReader(bytes.NewReader(tunnel))
	for {
		t, n, err := r.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		if t == Datagram {
			value, _ := r.Value(nil, 1500)
			fmt.Printf("datagram of %d bytes: %s\n", n, value)
		}
	}
	// Output:
	// datagram of 5 bytes: hello
	// EOF
}
