package wire

import (
	"math"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
)

// What is done for every packet of a bulk transfer allocates nothing.
func TestAllocations(t *testing.T) {
	for name, f := range hotPaths() {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkHotPaths(b *testing.B) {
	for name, f := range hotPaths() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
		})
	}
}

func hotPaths() map[string]func() {
	dcid := cid("12345678")
	short := AppendPadding(AppendShort(nil, dcid, false, false, 77, 2), 1150)
	long := AppendLong(nil, Handshake, Version1, dcid, dcid, nil, 7, 2)
	PatchLength(long, len(long)-2, 1002)
	long = AppendPadding(long, 1000)
	stream := append(AppendStreamHeader(nil, 4, 1<<20, 1000, false), make([]byte, 1000)...)
	var received rangeset.Set
	for i := range uint64(4) {
		received.Add(1000+10*i, 1005+10*i)
	}
	ack := AppendAck(nil, received.Ranges(), 20, nil, math.MaxInt)
	scratch := make([]AckRange, 0, MaxAckRanges)
	buf := make([]byte, 0, 1500)
	return map[string]func(){
		"ParseInvariant": func() {
			inv, _ := ParseInvariant(short, 8)
			sink += NewConnectionID(inv.DCID).Len()
		},
		"ParseLong":          func() { h, _ := ParseLong(long); sink += h.PNOffset },
		"ParseStream":        func() { f, n := ParseStream(stream); sink += n + len(f.Data) },
		"ParseAck":           func() { f, n := ParseAck(ack, scratch); sink += n + len(f.Ranges) },
		"ParseMaxStreamData": func() { f, n := ParseMaxStreamData([]byte{0x11, 4, 0x80, 1, 0, 0}); sink += n + int(f.Limit) },
		"AppendShort":        func() { sink += len(AppendShort(buf, dcid, false, true, 77, 2)) },
		"AppendStreamHeader": func() { sink += len(AppendStreamHeader(buf, 4, 1<<20, 1000, false)) },
		"AppendAck":          func() { sink += len(AppendAck(buf, received.Ranges(), 20, nil, 1000)) },
		"AppendMaxStreamData": func() {
			sink += len(AppendMaxStreamData(buf, StreamLimitFrame{4, 1 << 20}))
		},
	}
}

var sink int
