package wire

import (
	"bytes"
	"testing"
)

func TestVarint(t *testing.T) {
	for _, tt := range []struct {
		enc []byte
		v   uint64
		min bool // the encoding is the shortest one
	}{
		// RFC 9000, Appendix A.1.
		{[]byte{0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}, 151288809941952652, true},
		{[]byte{0x9d, 0x7f, 0x3e, 0x7d}, 494878333, true},
		{[]byte{0x7b, 0xbd}, 15293, true},
		{[]byte{0x25}, 37, true},
		{[]byte{0x40, 0x25}, 37, false},
		// The ends of each length.
		{[]byte{0}, 0, true},
		{[]byte{0x3f}, 1<<6 - 1, true},
		{[]byte{0x40, 0x40}, 1 << 6, true},
		{[]byte{0x7f, 0xff}, 1<<14 - 1, true},
		{[]byte{0x80, 0, 0x40, 0}, 1 << 14, true},
		{[]byte{0xbf, 0xff, 0xff, 0xff}, 1<<30 - 1, true},
		{[]byte{0xc0, 0, 0, 0, 0x40, 0, 0, 0}, 1 << 30, true},
		{bytes.Repeat([]byte{0xff}, 8), MaxVarint, true},
	} {
		v, n := ParseVarint(append(tt.enc, 0xaa))
		if v != tt.v || n != len(tt.enc) {
			t.Errorf("ParseVarint(%x) = %d, %d", tt.enc, v, n)
		}
		for i := range tt.enc {
			if _, n := ParseVarint(tt.enc[:i]); n != 0 {
				t.Errorf("ParseVarint(%x) = _, %d", tt.enc[:i], n)
			}
		}
		if !tt.min {
			continue
		}
		if got := AppendVarint([]byte{7}, tt.v); !bytes.Equal(got[1:], tt.enc) {
			t.Errorf("AppendVarint(%d) = %x", tt.v, got)
		}
		if got := VarintLen(tt.v); got != len(tt.enc) {
			t.Errorf("VarintLen(%d) = %d", tt.v, got)
		}
	}
}

func TestVarint2(t *testing.T) {
	for _, v := range []uint64{0, 37, 1<<14 - 1} {
		b := AppendVarint2(nil, v)
		if got, n := ParseVarint(b); got != v || n != 2 {
			t.Errorf("%d came back as %d, %d", v, got, n)
		}
	}
}

func TestVarintTooLarge(t *testing.T) {
	for name, f := range map[string]func(){
		"VarintLen":     func() { VarintLen(MaxVarint + 1) },
		"AppendVarint":  func() { AppendVarint(nil, MaxVarint+1) },
		"AppendVarint2": func() { AppendVarint2(nil, 1<<14) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes an integer that it can't encode", name)
				}
			}()
			f()
		}()
	}
}
