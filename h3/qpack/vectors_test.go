package qpack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entries lists what a table holds, oldest first.
func (t *table) entries() (fields []Field) {
	for i := t.dropped; i < t.inserted; i++ {
		f, _ := t.get(i)
		fields = append(fields, f)
	}
	return fields
}

var (
	authority  = Field{Name: ":authority", Value: "www.example.com"}
	samplePath = Field{Name: ":path", Value: "/sample/path"}
	customKey  = Field{Name: "custom-key", Value: "custom-value"}
	customKey2 = Field{Name: "custom-key", Value: "custom-value2"}
	indexHTML  = Field{Name: ":path", Value: "/index.html"}
	rootPath   = Field{Name: ":path", Value: "/"}
)

const (
	appendixB   = 220 // the capacity of the table in Appendix B
	setCapacity = "3fbd01"
)

// RFC 9204, Appendix B: each step gives the decoder bytes of the encoder stream or a section, and says what it decodes,
// answers and then holds.
var appendixBSteps = []struct {
	name     string
	encoder  string // bytes of the encoder stream
	stream   uint64
	section  string
	cancel   bool
	fields   []Field
	answer   string // bytes of the decoder stream
	table    []Field
	size     uint64
	inserted uint64
}{
	{
		name: "B.1 literal with name reference", stream: 0, section: "0000 510b 2f69 6e64 6578 2e68 746d 6c",
		fields: []Field{indexHTML},
	},
	{
		name:    "B.2 dynamic table",
		encoder: setCapacity + " c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468",
		stream:  4, section: "0381 10 11", fields: []Field{authority, samplePath}, answer: "84",
		table: []Field{authority, samplePath}, size: 106, inserted: 2,
	},
	{
		name:    "B.3 speculative insert",
		encoder: "4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565", answer: "01",
		table: []Field{authority, samplePath, customKey}, size: 160, inserted: 3,
	},
	{
		name: "B.4 stream cancellation before the encoder stream arrives", stream: 8, section: "0500 80 c1 81",
		cancel: true, answer: "48",
		table: []Field{authority, samplePath, customKey}, size: 160, inserted: 3,
	},
	{
		name: "B.4 duplicate, delayed", encoder: "02", answer: "01",
		table: []Field{authority, samplePath, customKey, authority}, size: 217, inserted: 4,
	},
	{
		name: "B.4 the section on another stream, not cancelled", stream: 12, section: "0500 80 c1 81",
		fields: []Field{authority, rootPath, customKey}, answer: "8c",
		table: []Field{authority, samplePath, customKey, authority}, size: 217, inserted: 4,
	},
	{
		name: "B.5 insert with eviction", encoder: "810d 6375 7374 6f6d 2d76 616c 7565 32", answer: "01",
		table: []Field{samplePath, customKey, authority, customKey2}, size: 215, inserted: 5,
	},
}

// fragments are the sizes that a stream is cut into.
var fragments = []int{1, 2, 3, 1 << 20}

func feed(b []byte, size int, handle func([]byte) error) error {
	for len(b) > 0 {
		n := min(size, len(b))
		// A copy, overwritten afterwards: nothing may alias the caller's bytes.
		part := bytes.Clone(b[:n])
		if err := handle(part); err != nil {
			return err
		}
		clear(part)
		b = b[n:]
	}
	return nil
}

func TestDecoderAppendixB(t *testing.T) {
	for _, size := range fragments {
		d := NewDecoder(appendixB, 1)
		for _, step := range appendixBSteps {
			if err := feed(unhex(t, step.encoder), size, d.HandleEncoderStream); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if step.section != "" {
				section := unhex(t, step.section)
				fields, err := d.Decode(nil, step.stream, section, 0)
				clear(section)
				if step.cancel {
					if !errors.Is(err, ErrBlocked) {
						t.Fatalf("%s: got %v, want ErrBlocked", step.name, err)
					}
					d.Cancel(step.stream)
				} else if err != nil || !reflect.DeepEqual(fields, step.fields) {
					t.Fatalf("%s: got %v, %v, want %v", step.name, fields, err, step.fields)
				}
			}
			if got, want := d.Pending(), unhex(t, step.answer); !bytes.Equal(got, want) {
				t.Fatalf("%s: decoder stream %x, want %x", step.name, got, want)
			}
			d.Sent(len(d.Pending()))
			if got := d.table.entries(); !reflect.DeepEqual(got, step.table) || d.table.size != step.size ||
				d.table.inserted != step.inserted {
				t.Fatalf("%s: table %v of size %d after %d inserts", step.name, got, d.table.size, d.table.inserted)
			}
		}
	}
}

// The encoder's half of Appendix B, as far as its policy allows: the examples insert what this Encoder would not, use
// literals without Huffman code, and risk blocking. So instructions are made by the functions below the policy, and
// sections that refer only to acknowledged entries by Encode.
func TestEncoderAppendixB(t *testing.T) {
	e := NewEncoder(appendixB)
	if got := e.Encode(nil, 0, []Field{rootPath}); !bytes.Equal(got, unhex(t, "0000 c1")) {
		t.Fatalf("static: %x", got)
	}
	e.SetPeerCapacity(appendixB)
	expect := func(want string) {
		t.Helper()
		if got := e.Pending(); !bytes.Equal(got, unhex(t, want)) {
			t.Fatalf("encoder stream %x, want %s", got, want)
		}
		e.Sent(len(e.Pending()))
	}
	expect("") // the capacity comes with the first insert
	answer := func(s string) {
		t.Helper()
		if err := e.HandleDecoderStream(unhex(t, s)); err != nil {
			t.Fatal(err)
		}
	}
	// B.2, with Huffman code as in RFC 7541, Appendix C.4.1 for www.example.com.
	e.insert(&authority, 0)
	e.insert(&samplePath, 1)
	expect(setCapacity + "c08c f1e3 c2e5 f23a 6ba0 ab90 f4ff" + " c189 6103 a6ba 0ac5 634c ff")
	answer("02")
	// B.3, with RFC 7541, Appendix C.4.3's code for custom-key and custom-value.
	e.insert(&customKey, -1)
	expect("68 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf")
	answer("01")
	// B.4: the duplicate is relative index 2.
	e.duplicate(0)
	expect("02")
	answer("01")
	if got := e.Encode(nil, 8, []Field{authority, rootPath, customKey}); !bytes.Equal(got, unhex(t, "0500 80 c1 81")) {
		t.Fatalf("B.4: %x", got)
	}
	if err := e.HandleDecoderStream(unhex(t, "48")); err != nil || len(e.sections) != 0 {
		t.Fatalf("B.4: cancellation: %v, %v", err, e.sections)
	}
	// B.5: relative index 1 gives the name, the oldest entry goes.
	e.insert(&customKey2, -1)
	expect("81 89 25a8 49e9 5bb8 e8b4 a2")
	if got, want := e.table.entries(), []Field{samplePath, customKey, authority,
		customKey2}; !reflect.DeepEqual(got, want) {
		t.Fatalf("B.5: table %v", got)
	}
}

// RFC 7541, Appendix C.4 and C.6: every string that they give in Huffman code.
func TestHuffmanRFC7541AppendixC(t *testing.T) {
	for s, code := range map[string]string{
		"www.example.com":               "f1e3 c2e5 f23a 6ba0 ab90 f4ff",
		"no-cache":                      "a8eb 1064 9cbf",
		"custom-key":                    "25a8 49e9 5ba9 7d7f",
		"custom-value":                  "25a8 49e9 5bb8 e8b4 bf",
		"302":                           "6402",
		"307":                           "640e ff",
		"private":                       "aec3 771a 4b",
		"Mon, 21 Oct 2013 20:13:21 GMT": "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff",
		"Mon, 21 Oct 2013 20:13:22 GMT": "d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff",
		"https://www.example.com":       "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3",
		"gzip":                          "9bd9 ab",
		"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1": "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708" +
			"7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
	} {
		want := unhex(t, code)
		want = append([]byte{0x80 | byte(len(want))}, want...)
		// 307 is as long in Huffman code as without.
		if got := appendString(nil, 0, 7, s); len(want)-1 < len(s) && !bytes.Equal(got, want) {
			t.Errorf("%q: got %x, want %x", s, got, want)
		}
		lit, n := parseString(want, 7, maxInt)
		var w byteWriter
		if n != len(want) || !w.decode(lit) || string(w.b) != s {
			t.Errorf("%x: got %q, want %q", want, w.b, s)
		}
	}
}

// RFC 7541, Appendix C.1.
func TestPrefixedIntegerRFC7541AppendixC1(t *testing.T) {
	for _, tt := range []struct {
		v      uint64
		prefix uint
		want   string
	}{
		{10, 5, "0a"}, {1337, 5, "1f9a0a"}, {42, 8, "2a"},
		{maxInt, 8, "ff80feffffffffffff3f"}, {maxInt, 3, "07f8ffffffffffffff3f"}, {0, 3, "00"}, {7, 3, "0700"},
	} {
		got := appendInt(nil, 0, tt.prefix, tt.v)
		if !bytes.Equal(got, unhex(t, tt.want)) {
			t.Errorf("%d with prefix %d: got %x, want %s", tt.v, tt.prefix, got, tt.want)
		}
		for i := range got {
			if _, n := parseInt(got[:i], tt.prefix); n != incomplete {
				t.Errorf("%x: %d instead of incomplete", got[:i], n)
			}
		}
		if v, n := parseInt(append(got, 0xff), tt.prefix); v != tt.v || n != len(got) {
			t.Errorf("%x: got %d, %d", got, v, n)
		}
	}
	for _, s := range []string{"ff81feffffffffffff3f", "ffffffffffffffffff40", "ff80808080808080808080",
		"ffffffffffffffffffffff"} {
		if _, n := parseInt(unhex(t, s), 8); n != malformed {
			t.Errorf("%s: got %d, want malformed", s, n)
		}
	}
}
