package h3

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

// docs/SECURITY-TESTS.md says which attack each test plays, and where others are.

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A client sends the same small thing by the ten thousand, where HTTP/3 allows any number of it. The server keeps nothing of it,
// and says nothing about it to the application, or once what there is to say; or it ends the connection, with the code
// that the RFC names.
func TestFloods(t *testing.T) {
	insert := cat([]byte{0x41, 'x', 0x7f, 0x80 ^ 0x81}, bytes.Repeat([]byte("y"), 0x80)) // name x, value of 128 bytes
	for _, tt := range []struct {
		name  string
		start []byte // of the stream
		bidi  bool
		unit  func(i int) []byte
		code  ErrCode
	}{
		{"unknown frames on the control stream", emptySettings, false, func(int) []byte { return frame(0x21) }, 0},
		{"one unknown frame without end", cat(emptySettings, []byte{0x21, 0xbf, 0xff, 0xff, 0xff}), false,
			func(int) []byte { return make([]byte, 100) }, 0},
		{"MAX_PUSH_ID", emptySettings, false, func(i int) []byte { return frame(frameMaxPushID, varint(uint64(i))...) }, 0},
		{"GOAWAY", emptySettings, false, func(int) []byte { return frame(frameGoAway, 0) }, 0},
		{"SETTINGS", emptySettings, false, func(int) []byte { return settingsFrame(1, 2) }, FrameUnexpected},
		{"SETTINGS of any length", cat([]byte{0, 4, 0xbf, 0xff, 0xff, 0xff}), false,
			func(int) []byte { return make([]byte, 100) }, ExcessiveLoad},
		{"PRIORITY_UPDATE of one request to come", emptySettings, false,
			func(int) []byte { return frame(framePriorityUpdateRequest, 40, 'u', '=', '1') }, 0},
		{"PRIORITY_UPDATE of all requests to come", emptySettings, false,
			func(i int) []byte {
				return frame(framePriorityUpdateRequest, cat(varint(uint64(i%90*4)), []byte("u=1"))...)
			}, 0},
		{"PRIORITY_UPDATE of requests beyond the limit", emptySettings, false,
			func(i int) []byte {
				return frame(framePriorityUpdateRequest, cat(varint(uint64(i*4)), []byte("u=1"))...)
			}, 0},
		{"empty DATA", headersFrame(postRequest...), true, func(int) []byte { return dataFrame("") }, 0},
		{"unknown frames in a request", headersFrame(postRequest...), true, func(int) []byte { return frame(0x21) }, 0},
		{"unknown frames before a request", nil, true, func(int) []byte { return frame(0x21, 1, 2, 3) }, 0},
		{"a header section of any length", cat([]byte{1, 0xbf, 0xff, 0xff, 0xff}, []byte{0, 0}), true,
			func(int) []byte { return bytes.Repeat([]byte{0xd1}, 100) }, 0},
		{"capacities of the table", []byte{2}, false, func(i int) []byte { return []byte{0x20 | byte(i&15)} }, 0},
		{"entries of the table", []byte{2, 0x3f, 0xe1, 0x1f}, false, func(int) []byte { return insert }, 0},
		{"duplicates of an entry", cat([]byte{2, 0x3f, 0xe1, 0x1f}, insert), false, func(int) []byte { return []byte{0} }, 0},
		{"an entry without end", []byte{2, 0x3f, 0xe1, 0x1f, 0x41, 'x', 0x7f, 0xff, 0xff, 0xff, 0x7f}, false,
			func(int) []byte { return make([]byte, 100) }, QPACKEncoderStreamError},
		{"cancellations of sections", []byte{3}, false, func(i int) []byte { return []byte{0x40 | byte(i&3)<<2} }, 0},
		{"acknowledgements of sections", []byte{3}, false, func(int) []byte { return []byte{0x80} }, QPACKDecoderStreamError},
		{"increments by more than was sent", []byte{3}, false, func(int) []byte { return []byte{0x01} }, QPACKDecoderStreamError},
		{"a stream of no known type", []byte{0x21}, false, func(int) []byte { return make([]byte, 100) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}, cfg: [2]*Config{quic.Server: {NoGrease: true}}})
			p.readBodies()
			d := quic.Uni
			if tt.bidi {
				d = quic.Bidi
			}
			s := p.open(quic.Client, d, tt.start, false)
			p.run()
			p.events[quic.Server], p.raw[quic.Client] = nil, nil
			before, events, i := liveHeap(), 0, 0
			for i < 20_000 && p.q[quic.Client].Err() == nil {
				var b []byte
				for range 200 {
					b = append(b, tt.unit(i)...)
					i++
				}
				n, err := s.TryWrite(b, false)
				if err == nil && n < len(b) {
					t.Fatalf("the server gives no credit: %d of %d bytes", n, len(b))
				}
				p.run()
				for _, ev := range p.events[quic.Server] {
					if ev.Kind != EventReset && ev.Kind != EventStreamClosed && ev.Kind != EventClosed {
						events++
					}
				}
				p.events[quic.Server], p.raw[quic.Client] = nil, nil
				if err != nil {
					break // asked to stop
				}
			}
			if got := p.connCode(quic.Client); got != tt.code {
				t.Fatalf("closed with %v, want %v", got, tt.code)
			}
			grown := liveHeap() - before
			t.Logf("%d bytes kept, %d events", grown, events)
			if grown > 256<<10 {
				t.Errorf("%d bytes more are held", grown)
			}
			if events > i {
				t.Errorf("%d events", events)
			}
			runtime.KeepAlive(p)
		})
	}
}
