//go:build linux

package steering

import (
	"crypto/rand"
	"encoding/binary"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

// The vector of the paper's appendix for a message of 8 bytes, of those that its authors' reference has.
func TestSipHash(t *testing.T) {
	var b [16]byte
	for i := range b {
		b[i] = byte(i)
	}
	if got := newSipKey(b[:]).hash(binary.LittleEndian.Uint64(b[:])); got != 0x93f5f5799a932462 {
		t.Errorf("%x", got)
	}
}

func testIDs() ids { return ids{sipKey{rand64(), rand64()}} }

func bytesOf(id quic.ConnectionID) []byte { return id.Bytes() }

func rand64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func TestIDsNameTheirMember(t *testing.T) {
	x := testIDs()
	for n := 1; n <= maxNumber; n++ {
		id := bytesOf(x.make(uint8(n)))
		if got := x.owner(id); int(got) != n {
			t.Errorf("an ID of %d is taken for one of %d", n, got)
		}
		if x.owner(id[1:]) != 0 || x.owner(append(id, 0)) != 0 {
			t.Error("an ID of another length is taken for one of the group's")
		}
	}
	// Neither a client's IDs nor those of another group are taken for the group's, but for one in 256.
	other, taken := testIDs(), 0
	const tries = 20000
	for range tries {
		if other.owner(bytesOf(x.make(7))) != 0 {
			taken++
		}
	}
	if taken > tries/128 {
		t.Errorf("%d of %d foreign IDs are taken for the group's", taken, tries)
	}
}

func TestIDsAreUnlike(t *testing.T) {
	x := testIDs()
	var tails [1 << 16]bool
	distinct := 0
	for range 10000 {
		if tail := binary.LittleEndian.Uint16(bytesOf(x.make(1))[randomLen:]); !tails[tail] {
			tails[tail] = true
			distinct++
		}
	}
	if distinct < 9000 { // of 10,000 random ones about 9,275 are
		t.Errorf("the IDs of one member have %d endings", distinct)
	}
}
