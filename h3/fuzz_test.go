package h3

import (
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

// FuzzRequestStream gives a server arbitrary bytes on a request stream, cut at an arbitrary place. Whatever they are,
// the connection goes on or ends with a code of HTTP/3's, and nothing of the stream is left when it is over.
func FuzzRequestStream(f *testing.F) {
	for i, row := range requestRows {
		f.Add(row.bytes, uint16(i), row.end == fin)
	}
	for _, row := range requestMessageRows() {
		f.Add(headersFrame(row.fields...), uint16(7), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, end bool) {
		p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
		p.readBodies()
		s := p.open(quic.Client, quic.Bidi, nil, false)
		n := min(int(cut), len(b))
		p.write(s, b[:n], false)
		p.run()
		s.TryWrite(b[n:], end)
		p.run()
		checkOutcome(t, p, quic.Server)
		if p.connCode(quic.Client) != 0 {
			return
		}
		s.Reset(0)
		s.StopSending(0)
		p.run()
		for _, ev := range p.events[quic.Server] {
			if ev.Kind == EventHeaders {
				ev.Stream.Reset(NoError)
				ev.Stream.StopSending(NoError)
			}
		}
		p.run()
		if p.h[quic.Server].streams.head != nil {
			t.Error("the stream is kept")
		}
	})
}

// FuzzResponseStream gives a client arbitrary bytes as a response.
func FuzzResponseStream(f *testing.F) {
	for i, row := range responseRows {
		f.Add(row.bytes, uint16(i), row.end == fin)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, end bool) {
		p := newPair(t, pairOptions{raw: [2]bool{quic.Server: true}})
		p.readBodies()
		c := p.request(getRequest, true)
		p.run()
		var s *quic.Stream
		for _, ev := range p.raw[quic.Server] {
			if ev.Stream != nil && ev.Stream.ID() == c.ID() {
				s = ev.Stream
			}
		}
		readStream(s)
		n := min(int(cut), len(b))
		p.write(s, b[:n], false)
		p.run()
		s.TryWrite(b[n:], end)
		p.run()
		checkOutcome(t, p, quic.Client)
		if p.connCode(quic.Server) != 0 {
			return
		}
		s.Reset(0)
		c.StopSending(RequestCancelled) // the response may wait for the encoder stream
		p.run()
		if p.h[quic.Client].streams.head != nil {
			t.Error("the stream is kept")
		}
	})
}

// FuzzUnidirectionalStream gives a server arbitrary bytes on a unidirectional stream.
func FuzzUnidirectionalStream(f *testing.F) {
	f.Add(emptySettings, uint16(1), false)
	f.Add(cat([]byte{0}, settingsFrame(6, 100, 1, 4096, 7, 3, 0x21, 0), frame(frameGoAway, 0), frame(0x21, 1)),
		uint16(3), false)
	f.Add(cat(emptySettings, frame(framePriorityUpdateRequest, []byte("\x00u=1")...), frame(frameMaxPushID, 1)),
		uint16(9), true)
	f.Add([]byte("\x02\x3f\xbd\x01\xc0\x0fwww.example.com"), uint16(3), false)
	f.Add([]byte("\x03\x01"), uint16(1), false)
	f.Add([]byte("\x01\x01"), uint16(1), false)
	f.Add([]byte("\x40\x00\x04"), uint16(1), false)
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, end bool) {
		p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
		s := p.open(quic.Client, quic.Uni, nil, false)
		n := min(int(cut), len(b))
		p.write(s, b[:n], false)
		p.run()
		s.TryWrite(b[n:], end)
		p.run()
		checkOutcome(t, p, quic.Server)
	})
}

// checkOutcome checks what became of arbitrary bytes.
func checkOutcome(t *testing.T, p *pair, side quic.Side) {
	t.Helper()
	code := p.connCode(side.Peer())
	known := code == 0 || code >= NoError && code <= VersionFallback || code >= QPACKDecompressionFailed &&
		code <= QPACKDecoderStreamError
	if !known || code == InternalError {
		t.Fatalf("the connection ended with %v", code)
	}
	headers := false
	for _, ev := range p.events[side] {
		switch ev.Kind {
		case EventHeaders:
			headers = true
		case EventData, EventTrailers, EventFinished:
			if !headers {
				t.Errorf("event %d before the header section", ev.Kind)
			}
		case EventReset:
			var e *Error
			if !errors.As(ev.Err, &e) || !e.OnStream {
				t.Errorf("reset: %v", ev.Err)
			}
			if _, err := ev.Stream.TryReadBody(nil); err == nil || err == io.EOF {
				t.Errorf("reading a stream that was reset: %v", err)
			}
		}
		for _, f := range ev.Fields {
			if !isFieldValue(f.Value) || f.Name == "" || f.Name[0] != ':' && !isFieldName(f.Name) {
				t.Errorf("field %q: %q", f.Name, f.Value)
			}
		}
	}
}

// FuzzSettings: what parses is what was meant.
func FuzzSettings(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{6, 1, 0x21, 0})
	f.Add([]byte{0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		settings, code, reason := parseSettings(b)
		if reason != "" {
			if code != FrameError && code != SettingsError {
				t.Fatalf("%v: %s", code, reason)
			}
			return
		}
		_, _, n := parseFrameHeader(appendSettings(nil, settings))
		again, _, reason := parseSettings(appendSettings(nil, settings)[n:])
		if reason != "" || !reflect.DeepEqual(settings, again) {
			t.Fatalf("%v came back as %v, %s", settings, again, reason)
		}
	})
}

// FuzzPriority: arbitrary text is a priority within bounds.
func FuzzPriority(f *testing.F) {
	f.Add("u=1, i")
	f.Add(`x="\",(", u=7;a=b,i=?0`)
	f.Fuzz(func(t *testing.T, s string) {
		if p := ParsePriority(s); p.Urgency > 7 {
			t.Fatalf("%q: %+v", s, p)
		}
	})
}
