package qpack

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// pair is an encoder and the decoder it talks to, with what is in flight between them.
type pair struct {
	e                    *Encoder
	d                    *Decoder
	toDecoder, toEncoder []byte
}

func newPair(encoderCapacity, decoderCapacity uint64) *pair {
	return newBlockingPair(encoderCapacity, decoderCapacity, 0)
}

func newBlockingPair(encoderCapacity, decoderCapacity uint64, maxBlocked int) *pair {
	p := &pair{e: NewEncoder(encoderCapacity), d: NewDecoder(decoderCapacity, maxBlocked)}
	p.e.SetPeerCapacity(decoderCapacity)
	p.e.SetPeerBlockedStreams(uint64(maxBlocked))
	return p
}

// exchange moves up to n bytes in each direction.
func (p *pair) exchange(t testing.TB, n int) {
	t.Helper()
	p.toDecoder = append(p.toDecoder, p.e.Pending()...)
	p.e.Sent(len(p.e.Pending()))
	k := min(n, len(p.toDecoder))
	if err := p.d.HandleEncoderStream(p.toDecoder[:k]); err != nil {
		t.Fatal(err)
	}
	p.toDecoder = p.toDecoder[k:]
	p.toEncoder = append(p.toEncoder, p.d.Pending()...)
	p.d.Sent(len(p.d.Pending()))
	k = min(n, len(p.toEncoder))
	if err := p.e.HandleDecoderStream(p.toEncoder[:k]); err != nil {
		t.Fatal(err)
	}
	p.toEncoder = p.toEncoder[k:]
}

var browserRequest = []Field{
	{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "www.example.com"},
	{Name: ":path", Value: "/pictures/17.png"}, {Name: "sec-ch-ua-platform", Value: `"Linux"`},
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"},
	{Name: "accept", Value: "image/avif,image/webp,*/*;q=0.8"},
	{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
	{Name: "accept-language", Value: "en-GB,en;q=0.9"}, {Name: "cookie", Value: "session=0123456789abcdef",
		NeverIndex: true},
	{Name: "priority", Value: "i"},
}

func TestEncoderUsesDynamicTable(t *testing.T) {
	p := newPair(4096, 4096)
	var sizes []int
	for i := range 4 {
		section := p.e.Encode(nil, uint64(4*i), browserRequest)
		sizes = append(sizes, len(section))
		got, err := p.d.Decode(nil, uint64(4*i), section, 0)
		if err != nil || !reflect.DeepEqual(got, browserRequest) {
			t.Fatalf("section %d: %v, %v", i, got, err)
		}
		p.exchange(t, 1<<20)
	}
	// The first two go out as literals, the second inserting; then only the path and the cookie are literals.
	if sizes[0] != sizes[1] || sizes[2] > 50 || sizes[3] != sizes[2] {
		t.Errorf("section sizes %v", sizes)
	}
	if len(p.e.sections) != 0 {
		t.Errorf("%d sections unacknowledged", len(p.e.sections))
	}
	for _, f := range p.e.table.entries() {
		if f.Name == "cookie" || f.Name == ":path" {
			t.Errorf("%q was inserted", f.Name)
		}
	}
}

// RFC 9204, Section 3.2.3: with capacity 0 there are neither instructions nor references.
func TestEncoderWithoutDynamicTable(t *testing.T) {
	for _, c := range [][2]uint64{{0, 4096}, {4096, 0}, {4096, 31}} {
		p := newPair(c[0], c[1])
		for i := range 4 {
			section := p.e.Encode(nil, uint64(4*i), browserRequest)
			if got, err := p.d.Decode(nil, uint64(4*i), section, 0); err != nil ||
				!reflect.DeepEqual(got, browserRequest) {
				t.Fatalf("%v: %v, %v", c, got, err)
			}
		}
		if len(p.e.Pending()) > 0 || len(p.d.Pending()) > 0 {
			t.Errorf("%v: instructions %x, %x", c, p.e.Pending(), p.d.Pending())
		}
	}
}

// A cancellation lets go of one stream's sections only.
func TestEncoderCancellation(t *testing.T) {
	p := newPair(4096, 4096)
	for range 2 {
		p.e.Encode(nil, 0, browserRequest)
		p.exchange(t, 1<<20)
	}
	for _, stream := range []uint64{4, 8, 4} {
		p.e.Encode(nil, stream, browserRequest)
	}
	if err := p.e.HandleDecoderStream([]byte{0x44}); err != nil {
		t.Fatal(err)
	}
	if len(p.e.sections) != 1 || p.e.sections[0].streamID != 8 {
		t.Errorf("sections %+v", p.e.sections)
	}
}

// A peer that never answers, or gives no credit on the encoder stream, must not make the encoder hold ever more.
func TestEncoderBounds(t *testing.T) {
	p := newPair(4096, 4096)
	for range 2 {
		p.e.Encode(nil, 0, browserRequest)
	}
	p.exchange(t, 1<<20)
	p.exchange(t, 1<<20)
	for i := range 2 * maxSections {
		p.e.Encode(nil, uint64(4*i), browserRequest)
	}
	if n := len(p.e.sections); n != maxSections {
		t.Errorf("%d unacknowledged sections", n)
	}
	e := NewEncoder(1 << 20)
	e.SetPeerCapacity(1 << 20)
	for i := range 2000 {
		f := Field{Name: "x-name", Value: fmt.Sprint("value ", i)}
		e.Encode(nil, 0, []Field{f})
		e.Encode(nil, 0, []Field{f})
	}
	if n := len(e.Pending()); n > maxPendingInserts+64 {
		t.Errorf("%d bytes of instructions pending", n)
	}
}

// withoutIncrements makes the decoder one that never sends an Insert Count Increment (RFC 9204, Section 4.4.3 leaves it to the
// decoder when to).
func (p *pair) withoutIncrements() { p.d.known = math.MaxUint64 }

// The encoder learns of arrivals from acknowledgments of sections alone, if it may make a stream block for that.
func TestEncoderWithoutIncrements(t *testing.T) {
	for _, maxBlocked := range []int{0, 1, 16} {
		p := newBlockingPair(4096, 4096, maxBlocked)
		p.withoutIncrements()
		full, ahead := 0, 0
		for i := range 100 {
			id := uint64(4 * i)
			request := browserRequest
			if i >= 50 { // something else is inserted
				request = append([]Field{{Name: "x-new", Value: "a value that has not been there"}}, browserRequest...)
			}
			known := p.e.known
			section := p.e.Encode(nil, id, request)
			if n := len(p.e.sections); n > 0 && p.e.sections[n-1].streamID == id && p.e.sections[n-1].required > known {
				ahead++
			}
			if len(section) > 100 {
				full++
			}
			if got, err := p.d.Decode(nil, id, section, 0); err != nil || !reflect.DeepEqual(got, request) {
				t.Fatalf("section %d: %v, %v", i, got, err)
			}
			p.exchange(t, 1<<20)
		}
		wantFull, wantAhead, wantKnown := 2+aheadAfter, 2, p.e.table.inserted
		if maxBlocked == 0 {
			wantFull, wantAhead, wantKnown = 100, 0, 0
		}
		if full != wantFull || ahead != wantAhead || p.e.known != wantKnown {
			t.Errorf("%d blocked streams: %d sections of literals, %d went ahead, %d insertions known of %d, want %d, %d, %d",
				maxBlocked, full, ahead, p.e.known, p.e.table.inserted, wantFull, wantAhead, wantKnown)
		}
	}
}

// Never more than one stream could block, however late instructions and answers are; none where the peer allows none.
func TestEncoderBlocksOneStream(t *testing.T) {
	for _, maxBlocked := range []int{0, 1} {
		p := newBlockingPair(4096, 4096, maxBlocked)
		p.withoutIncrements()
		blocked := make(map[uint64][]byte)
		for i := range 60 {
			id := uint64(4 * i)
			section := p.e.Encode(nil, id, browserRequest)
			// The instructions leave, and do not arrive.
			p.toDecoder = append(p.toDecoder, p.e.Pending()...)
			p.e.Sent(len(p.e.Pending()))
			_, err := p.d.Decode(nil, id, section, 0)
			switch {
			case err == ErrBlocked:
				blocked[id] = section
			case err != nil:
				t.Fatalf("section %d: %v", i, err)
			}
		}
		if len(blocked) != maxBlocked {
			t.Fatalf("%d streams block of %d", len(blocked), maxBlocked)
		}
		p.exchange(t, 1<<20)
		for range blocked {
			id, ok := p.d.NextUnblocked()
			if got, err := p.d.Decode(nil, id, blocked[id], 0); !ok || err != nil || !reflect.DeepEqual(got, browserRequest) {
				t.Errorf("stream %d, %v: %v, %v", id, ok, got, err)
			}
		}
		p.exchange(t, 1<<20)
		if n := len(p.e.Encode(nil, 1000, browserRequest)); (n < 100) != (maxBlocked > 0) {
			t.Errorf("%d blocked streams: then a section has %d bytes", maxBlocked, n)
		}
	}
}

// One who gives the encoder stream no credit gets no section that needs it.
func TestEncoderDoesNotGoAheadOfPending(t *testing.T) {
	p := newBlockingPair(4096, 4096, 16)
	for i := range 5 * aheadAfter {
		section := p.e.Encode(nil, uint64(4*i), browserRequest)
		if _, err := p.d.Decode(nil, uint64(4*i), section, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// Random messages from a small vocabulary, through tables of all sizes, with instructions and acknowledgements delayed,
// some streams cancelled or blocked, some decoders sparing of increments: everything decodes to what was encoded, and the tables
// agree.
func TestRoundTripRandom(t *testing.T) {
	wentAhead := 0
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		p := newBlockingPair(uint64(rnd.IntN(2000)), uint64(rnd.IntN(2000)), rnd.IntN(3))
		increments, rate, cancels := rnd.IntN(2) == 0, 1+rnd.IntN(100), 5+rnd.IntN(40)
		if !increments {
			p.withoutIncrements()
		}
		type message struct {
			section []byte
			fields  []Field
		}
		blocked := make(map[uint64]message)
		check := func(id uint64, m message) {
			got, err := p.d.Decode(nil, id, m.section, 0)
			if err == ErrBlocked {
				blocked[id] = m
				wentAhead++
				return
			}
			if err != nil || len(got) != len(m.fields) || len(got) > 0 && !reflect.DeepEqual(got, m.fields) {
				t.Fatalf("seed %d, stream %d: %v, %v, want %v", seed, id, got, err, m.fields)
			}
		}
		exchange := func(n int) {
			p.exchange(t, n)
			for id, ok := p.d.NextUnblocked(); ok; id, ok = p.d.NextUnblocked() {
				m := blocked[id]
				delete(blocked, id)
				check(id, m)
			}
		}
		for i := range 100 {
			fields := make([]Field, rnd.IntN(8))
			for j := range fields {
				f := &fields[j]
				switch rnd.IntN(4) {
				case 0:
					*f = staticTable[rnd.IntN(len(staticTable))]
				case 1:
					f.Name = staticTable[rnd.IntN(len(staticTable))].Name
					f.Value = fmt.Sprint(rnd.IntN(6))
				default:
					f.Name = fmt.Sprint("name-", rnd.IntN(5))
					f.Value = fmt.Sprint("some value ", rnd.IntN(8))
				}
				f.NeverIndex = rnd.IntN(10) == 0
			}
			id := uint64(4 * i)
			section := p.e.Encode(nil, id, fields)
			if rnd.IntN(cancels) == 0 {
				p.d.Cancel(id)
				// Cancelled before it was decoded: the encoder must not wait for an acknowledgement.
				exchange(1 << 20)
				exchange(1 << 20)
				continue
			}
			check(id, message{section, fields})
			exchange(rnd.IntN(rate))
		}
		exchange(1 << 20)
		exchange(1 << 20)
		if len(p.e.sections) != 0 || len(blocked) != 0 || increments && p.e.known != p.d.table.inserted {
			t.Fatalf("seed %d: %d of %d insertions acknowledged, %d sections not, %d blocked", seed, p.e.known,
				p.d.table.inserted, len(p.e.sections), len(blocked))
		}
		if !reflect.DeepEqual(p.e.table.entries(), p.d.table.entries()) {
			t.Fatalf("seed %d: tables differ", seed)
		}
		if n := len(p.e.byField); n > int(p.e.table.inserted-p.e.table.dropped) {
			t.Fatalf("seed %d: %d fields indexed", seed, n)
		}
	}
	if wentAhead < 10 {
		t.Errorf("%d streams were blocked", wentAhead)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	p := newPair(4096, 4096)
	buf := make([]byte, 0, 1024)
	for range 3 {
		p.d.Decode(nil, 0, p.e.Encode(buf, 0, browserRequest), 0)
		p.exchange(t, 1<<20)
	}
	var section []byte
	if n := testing.AllocsPerRun(100, func() {
		section = p.e.Encode(buf, 0, browserRequest)
		if err := p.e.HandleDecoderStream([]byte{0x80}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Encode with the dynamic table: %v allocations", n)
	}
	static := NewEncoder(0)
	if n := testing.AllocsPerRun(100, func() { section = static.Encode(buf, 0, browserRequest) }); n != 0 {
		t.Errorf("Encode with literals: %v allocations", n)
	}
	if !bytes.HasPrefix(section, []byte{0, 0}) {
		t.Error("no section")
	}
}

func TestDecodeAllocatesOncePerSection(t *testing.T) {
	section := NewEncoder(0).Encode(nil, 0, browserRequest)
	d := NewDecoder(0, 0)
	fields := make([]Field, 0, 16)
	if n := testing.AllocsPerRun(100, func() {
		if got, err := d.Decode(fields, 0, section, 1<<16); err != nil || len(got) != len(browserRequest) {
			t.Fatal(got, err)
		}
	}); n > 1 {
		t.Errorf("%d literal values: %v allocations", len(browserRequest), n)
	}
	section = NewEncoder(0).Encode(nil, 0, []Field{{Name: ":method", Value: "GET"}, rootPath})
	if n := testing.AllocsPerRun(100, func() { d.Decode(fields, 0, section, 1<<16) }); n > 0 {
		t.Errorf("static fields: %v allocations", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := NewEncoder(0)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		e.Encode(buf, 0, browserRequest)
	}
}

func BenchmarkDecode(b *testing.B) {
	section := NewEncoder(0).Encode(nil, 0, browserRequest)
	d := NewDecoder(0, 0)
	fields := make([]Field, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		d.Decode(fields, 0, section, 1<<16)
	}
}
