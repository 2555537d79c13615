package qpack

import (
	"errors"
	"testing"
)

func wantCode(t *testing.T, err error, code ErrorCode) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %v", err, code)
	}
}

// Each row is a section that a decoder must refuse. Where table is set, the decoder has first been given the inserts of
// Appendix B.2: two entries in a table of 220 bytes.
func TestDecoderRefusesSections(t *testing.T) {
	const inserts = setCapacity + " c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468"
	for _, tt := range []struct {
		rule    string
		table   bool
		section string
	}{
		{"4.5.1: empty section has no prefix", false, ""},
		{"4.5.1: prefix cut short", false, "00"},
		{"4.5.1.1: Required Insert Count with capacity 0", false, "0200"},
		{"4.5.1.1: Required Insert Count beyond the full range", true, "0f00"},
		{"4.5.1.1: Required Insert Count that stands for 0", true, "0100"},
		{"4.5.1.1: Required Insert Count further ahead than the table is long", true, "0a00"},
		{"4.5.1.1: Required Insert Count too long an integer", true, "ffffffffffffffffffff0100"},
		{"4.5.1.2: negative Base", true, "0382"},
		{"4.5.1.2: negative Base without references", false, "0080"},
		{"4.5.1.2: Delta Base cut short", true, "03ff"},
		{"3.1: static index 99", false, "0000 ff24"},
		{"3.1: static name index 99", false, "0000 5f54 00"},
		{"2.2.3: dynamic reference with Required Insert Count 0", true, "0000 80"},
		{"2.2.3: dynamic name reference with Required Insert Count 0", true, "0000 40 00"},
		{"2.2.3: post-Base reference with Required Insert Count 0", true, "0000 10"},
		{"2.2.3: post-Base name reference with Required Insert Count 0", true, "0000 00 00"},
		{"2.2.3: relative index at the Required Insert Count", true, "0201 80"},
		{"2.2.3: relative index below the first entry", true, "0300 82"},
		{"2.2.3: name reference below the first entry", true, "0300 42 00"},
		{"2.2.3: post-Base index at the Required Insert Count", true, "0381 12"},
		{"2.2.3: post-Base name index at the Required Insert Count", true, "0381 02 00"},
		{"2.2.3: relative index that wraps around", true, "0300 bfc0ffffffffffffff3f"},
		{"4.5.2: index cut short", false, "0000 ff"},
		{"4.5.3: post-Base index cut short", true, "0381 1f"},
		{"4.5.4: value missing", false, "0000 51"},
		{"4.5.4: value cut short", false, "0000 5102 2f"},
		{"4.5.5: name index cut short", true, "0381 07"},
		{"4.5.6: name cut short", false, "0000 2361"},
		{"4.5.6: value missing", false, "0000 2161"},
		{"4.5.6: name length longer than memory", false, "0000 27ffffffffffffffff3f"},
		{"4.1.2: Huffman padding of zeros", false, "0000 51 811e"},
		{"4.1.2: Huffman padding of a whole byte", false, "0000 51 821fff"},
		{"4.1.2: Huffman EOS", false, "0000 51 84ffffffff"},
		{"4.1.2: Huffman name", false, "0000 29 ff 00"},
	} {
		d := NewDecoder(appendixB, 8)
		if !tt.table {
			d = NewDecoder(0, 0)
		} else if err := d.HandleEncoderStream(unhex(t, inserts)); err != nil {
			t.Fatal(err)
		}
		dst := []Field{rootPath}
		fields, err := d.Decode(dst, 0, unhex(t, tt.section), 0)
		if t.Run(tt.rule, func(t *testing.T) { wantCode(t, err, DecompressionFailed) }); len(fields) != 1 {
			t.Errorf("%s: %v added to the result", tt.rule, fields)
		}
	}
}

func TestDecoderRefusesInstructions(t *testing.T) {
	for _, tt := range []struct {
		rule     string
		capacity uint64
		stream   string
	}{
		{"4.3.1: capacity above the limit", 220, "3fbe01"},
		{"4.3.1: any capacity when the limit is 0", 0, "21"},
		{"3.2.3: insert when the limit is 0", 0, "c000"},
		{"3.2.2: insert before a capacity is set", 220, "c000"},
		{"3.2.2: duplicate in an empty table", 220, setCapacity + "00"},
		{"3.2.2: entry larger than the table", 220, "3f02 c0 01 61"},
		{"3.2.2: name and value fit, the entry does not", 220, "3f02 41 61 01 61"},
		{"3.2.2: value longer than the table, not yet arrived", 220, setCapacity + "c07f3e"},
		{"3.2.2: name longer than the table, not yet arrived", 220, setCapacity + "5f9e01"},
		{"3.2.2: Huffman value longer than the table, not yet arrived", 220, setCapacity + "c0ffc305"},
		{"3.1: static name 99", 220, setCapacity + "ff2400"},
		{"2.2.3: name of an entry that does not exist", 220, setCapacity + "8000"},
		{"2.2.3: name of an evicted entry", 220, "3f03 c000 c100 8100"},
		{"2.2.3: duplicate of an entry evicted by a lower capacity", 220, setCapacity + "c000 20 3f03 00"},
		{"4.1.2: Huffman code of a name", 220, setCapacity + "61ff00"},
		{"4.1.2: Huffman code of a value", 220, setCapacity + "c081ff"},
		{"4.1.1: integer of 63 bits", 220, "3fffffffffffffffff7f"},
		{"4.1.1: name index of 63 bits", 220, "ffffffffffffffffff7f"},
		{"4.1.1: duplicate index of 63 bits", 220, "1fffffffffffffffff7f"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			for _, size := range fragments {
				d := NewDecoder(tt.capacity, 0)
				wantCode(t, feed(unhex(t, tt.stream), size, d.HandleEncoderStream), EncoderStreamError)
			}
		})
	}
}

func TestEncoderRefusesInstructions(t *testing.T) {
	for _, tt := range []struct{ rule, stream string }{
		{"4.4.1: acknowledgement of a stream without sections", "84"},
		{"4.4.1: second acknowledgement of one section", "8080"},
		{"4.4.1: acknowledgement after a cancellation", "4080"},
		{"4.4.3: increment of 0", "00"},
		{"4.4.3: increment beyond what was sent", "02"},
		{"4.1.1: integer of 63 bits", "ffffffffffffffffff7f"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			for _, size := range fragments {
				// Two entries, the first of them acknowledged and referred to by a section on stream 0.
				e := NewEncoder(appendixB)
				e.SetPeerCapacity(appendixB)
				e.insert(&customKey, -1)
				e.known = 1
				e.insert(&customKey2, -1)
				e.Encode(nil, 0, []Field{customKey})
				if len(e.sections) != 1 {
					t.Fatal("the section makes no reference")
				}
				wantCode(t, feed(unhex(t, tt.stream), size, e.HandleDecoderStream), DecoderStreamError)
			}
		})
	}
}

func TestDecoderLimitsSectionSize(t *testing.T) {
	table := NewDecoder(4096, 0)
	long := Field{Name: "x", Value: string(make([]byte, 1000))}
	enc := NewEncoder(4096)
	enc.SetPeerCapacity(4096)
	enc.insert(&long, -1)
	if err := table.HandleEncoderStream(enc.Pending()); err != nil {
		t.Fatal(err)
	}
	fields := []Field{rootPath, indexHTML, {Name: "some-name", Value: "some value"}}
	size := uint64(0)
	for _, f := range fields {
		size += f.Size()
	}
	literals := NewEncoder(0).Encode(nil, 0, fields)
	bomb := append(unhex(t, "0200"), make([]byte, 60_000)...)
	for i := range bomb[2:] {
		bomb[2+i] = 0x80
	}
	for _, tt := range []struct {
		name    string
		section []byte
		max     uint64
		want    error
	}{
		{"just as large as allowed", literals, size, nil},
		{"one byte too large", literals, size - 1, ErrTooLarge},
		{"no limit", literals, 0, nil},
		{"a bomb of references to one long entry", bomb, 64 << 10, ErrTooLarge},
		{"a bomb of static references", append(unhex(t, "0000"), bomb[2:]...), 64 << 10, nil},
	} {
		if tt.name == "a bomb of static references" {
			for i := range tt.section[2:] {
				tt.section[2+i] = 0xc1
			}
			tt.want = ErrTooLarge
		}
		got, err := table.Decode(nil, 0, tt.section, tt.max)
		if !errors.Is(err, tt.want) || err != nil && len(got) != 0 {
			t.Errorf("%s: got %d fields, %v, want %v", tt.name, len(got), err, tt.want)
		}
	}
	// A large section leaves no large buffers behind.
	var many []Field
	for range 2000 {
		many = append(many, Field{Name: "x", Value: "0123456789"})
	}
	if got, err := table.Decode(nil, 0, NewEncoder(0).Encode(nil, 0, many), 0); err != nil || len(got) != len(many) {
		t.Fatal(len(got), err)
	}
	if table.decoderScratch != nil {
		t.Error("the decoder keeps its scratch")
	}
	if kept := decoderScratches.Get().(*decoderScratch); cap(kept.literals.b) > keptScratch || cap(kept.spans) > keptScratch {
		t.Errorf("scratch space is kept: %d bytes, %d spans", cap(kept.literals.b), cap(kept.spans))
	}
}

func TestDecoderBlockedStreams(t *testing.T) {
	d := NewDecoder(appendixB, 2)
	section := unhex(t, "0500 80") // needs four insertions
	for _, stream := range []uint64{4, 8, 4} {
		if _, err := d.Decode(nil, stream, section, 0); !errors.Is(err, ErrBlocked) {
			t.Fatalf("stream %d: %v", stream, err)
		}
	}
	_, err := d.Decode(nil, 12, section, 0)
	wantCode(t, err, DecompressionFailed)
	d.Cancel(8)
	if _, err := d.Decode(nil, 12, section, 0); !errors.Is(err, ErrBlocked) {
		t.Fatalf("after a cancellation: %v", err)
	}
	d.Sent(len(d.Pending()))
	insert := unhex(t, "c000")
	if err := d.HandleEncoderStream(append(unhex(t, setCapacity), insert...)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.HandleEncoderStream(insert); err != nil {
			t.Fatal(err)
		}
		if id, ok := d.NextUnblocked(); ok {
			t.Fatalf("stream %d unblocked too early", id)
		}
	}
	if err := d.HandleEncoderStream(insert); err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint64{4, 12} {
		if id, ok := d.NextUnblocked(); !ok || id != want {
			t.Fatalf("got stream %d, %t, want %d", id, ok, want)
		}
		if f, err := d.Decode(nil, want, section, 0); err != nil || len(f) != 1 {
			t.Fatal(f, err)
		}
	}
	if _, ok := d.NextUnblocked(); ok {
		t.Fatal("a third stream unblocked")
	}
	// The acknowledgements tell of all four insertions: no increment follows.
	if got := d.Pending(); string(got) != "\x84\x8c" {
		t.Fatalf("decoder stream %x", got)
	}
}

func TestErrorStrings(t *testing.T) {
	for code, want := range map[ErrorCode]string{
		DecompressionFailed: "QPACK_DECOMPRESSION_FAILED", EncoderStreamError: "QPACK_ENCODER_STREAM_ERROR",
		DecoderStreamError: "QPACK_DECODER_STREAM_ERROR", 0x210: "QPACK error 0x210",
	} {
		if got := (&Error{code, "why"}).Error(); got != "qpack: "+want+": why" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
