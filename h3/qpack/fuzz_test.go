package qpack

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzDecoder gives a decoder arbitrary bytes as encoder stream and as section: it must answer with a result or with
// the right code, keep to its bounds, and not depend on how the stream is cut.
func FuzzDecoder(f *testing.F) {
	for _, step := range appendixBSteps {
		f.Add(unhex(f, setCapacity+step.encoder), unhex(f, step.section))
	}
	inserts := setCapacity + strings.Join([]string{appendixBSteps[1].encoder[len(setCapacity):],
		appendixBSteps[2].encoder}, "")
	f.Add(unhex(f, inserts), unhex(f, "0500 80 c1 81"))
	f.Add(unhex(f, inserts), unhex(f, "0481 10 0000 4102 6162"))
	f.Add([]byte{}, NewEncoder(0).Encode(nil, 0, browserRequest))
	const maxSize = 4096
	f.Fuzz(func(t *testing.T, stream, section []byte) {
		d, slow := NewDecoder(appendixB, 1), NewDecoder(appendixB, 1)
		err := d.HandleEncoderStream(stream)
		if slowErr := feed(stream, 1, slow.HandleEncoderStream); !reflect.DeepEqual(err, slowErr) {
			t.Fatalf("%v in one piece, %v byte by byte", err, slowErr)
		}
		if err != nil {
			wantCode(t, err, EncoderStreamError)
			return
		}
		if !reflect.DeepEqual(d.table.entries(), slow.table.entries()) {
			t.Fatal("the table depends on how the stream is cut")
		}
		if d.table.size > d.table.capacity || d.table.capacity > appendixB || len(d.partial) > 10*appendixB {
			t.Fatalf("table of %d/%d bytes, %d bytes incomplete", d.table.size, d.table.capacity, len(d.partial))
		}
		fields, err := d.Decode(nil, 0, section, maxSize)
		switch {
		case err == nil:
			size := uint64(0)
			for _, f := range fields {
				size += f.Size()
			}
			if size > maxSize {
				t.Fatalf("section of %d bytes", size)
			}
			again, err := NewDecoder(0, 0).Decode(nil, 0, NewEncoder(0).Encode(nil, 0, fields), 0)
			if err != nil || len(fields) > 0 && !reflect.DeepEqual(fields, again) {
				t.Fatalf("%v came back as %v, %v", fields, again, err)
			}
		case errors.Is(err, ErrBlocked), errors.Is(err, ErrTooLarge):
		default:
			wantCode(t, err, DecompressionFailed)
		}
	})
}

// FuzzEncoder gives an encoder arbitrary bytes as decoder stream, between sections.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{0x01, 0x84, 0x48})
	f.Add([]byte{0x06, 0x80})
	f.Fuzz(func(t *testing.T, stream []byte) {
		e := NewEncoder(4096)
		e.SetPeerCapacity(4096)
		e.SetPeerBlockedStreams(1)
		for i := range 3 {
			e.Encode(nil, uint64(4*i), browserRequest)
			part := stream[len(stream)*i/3 : len(stream)*(i+1)/3]
			if err := e.HandleDecoderStream(part); err != nil {
				wantCode(t, err, DecoderStreamError)
				return
			}
			if e.known > e.table.inserted || len(e.partial) > 10 {
				t.Fatalf("%d of %d insertions acknowledged, %d bytes incomplete", e.known, e.table.inserted,
					len(e.partial))
			}
		}
	})
}

// FuzzRoundTrip encodes the same arbitrary fields again and again, through the dynamic table.
func FuzzRoundTrip(f *testing.F) {
	f.Add("content-type", "text/html", "x-name", "a value", false)
	f.Add(":path", "/", "", "", true)
	f.Add("x", "\x00\xff", "cookie", "a=b", true)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, never bool) {
		fields := []Field{{name1, value1, never}, {name2, value2, false}, {name1, value2, false}}
		p := newPair(300, 300)
		for i := range 4 {
			section := p.e.Encode(nil, uint64(4*i), fields)
			got, err := p.d.Decode(nil, uint64(4*i), bytes.Clone(section), 0)
			if err != nil || !reflect.DeepEqual(got, fields) {
				t.Fatalf("%v came back as %v, %v", fields, got, err)
			}
			p.exchange(t, 1<<20)
		}
	})
}
