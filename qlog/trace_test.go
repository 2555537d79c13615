package qlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// writer counts what is written, and fails from the n-th write on.
type writer struct {
	bytes.Buffer
	writes, failAt int
	closed         int
}

var errFull = errors.New("disk full")

func (w *writer) Write(p []byte) (int, error) {
	if w.writes++; w.failAt > 0 && w.writes >= w.failAt {
		return 0, errFull
	}
	return w.Buffer.Write(p)
}

func (w *writer) Close() error { w.closed++; return nil }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// What a trace writes is JSON text sequences, in large pieces, with times from its first event on.
func TestTrace(t *testing.T) {
	w := &writer{}
	trace := NewTrace(w, Header{Title: `"title"`, VantagePoint: Server, Name: "name", GroupID: "01ff"})
	const n = 1000
	for i := range n {
		trace.Event(epoch.Add(time.Duration(i)*time.Millisecond), &MTUUpdated{New: i})
	}
	trace.Close()
	trace.Close()
	trace.Event(epoch, &MTUUpdated{})
	if w.closed != 1 || trace.Err() != nil {
		t.Errorf("closed %d times, error %v", w.closed, trace.Err())
	}
	if want := w.Len()/bufferSize + 1; w.writes > want {
		t.Errorf("%d writes for %d bytes", w.writes, w.Len())
	}
	// The drafts want the schema and the format among the first 256 bytes.
	for _, k := range []string{`"file_schema"`, `"serialization_format"`} {
		if !strings.Contains(w.String()[:256], k) {
			t.Errorf("%s comes late", k)
		}
	}
	for i, record := range strings.SplitAfter(w.String(), "\n") {
		if record != "" && (record[0] != '\x1e' || !json.Valid([]byte(record[1:]))) {
			t.Fatalf("record %d: %q", i, record)
		}
	}
	r, err := NewReader(&w.Buffer)
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header()
	if h.Title != `"title"` || h.Trace.VantagePoint.Name != "name" || h.Trace.VantagePoint.Type != "server" ||
		h.Trace.CommonFields.GroupID != "01ff" || h.Trace.CommonFields.ReferenceTime.WallClockTime != "2026-01-02T03:04:05.000Z" {
		t.Errorf("header %+v", h)
	}
	for i := range n {
		e, err := r.Next()
		if err != nil || e.Time != time.Duration(i)*time.Millisecond || e.Name != "quic:mtu_updated" {
			t.Fatalf("event %d: %+v, %v", i, e, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// What can't be written is told once, and ends the trace.
func TestTraceErrors(t *testing.T) {
	w := &writer{failAt: 2}
	var told []error
	trace := NewTrace(w, Header{VantagePoint: Client, OnError: func(err error) { told = append(told, err) }})
	for range 2000 {
		trace.Event(epoch, &MTUUpdated{New: 1})
	}
	trace.Close()
	if len(told) != 1 || told[0] != errFull || trace.Err() != errFull || w.writes != 2 || w.closed != 1 {
		t.Errorf("told %v, error %v, %d writes, closed %d times", told, trace.Err(), w.writes, w.closed)
	}
}

// After the end of the connection, nothing waits to be written.
func TestTraceIsFlushedAtTheEnd(t *testing.T) {
	w := &writer{}
	trace := NewTrace(w, Header{VantagePoint: Client})
	trace.Event(epoch, &MTUUpdated{New: 1})
	if w.Len() > 0 {
		t.Error("written at once")
	}
	trace.Event(epoch, &ConnectionClosed{})
	if !strings.Contains(w.String(), "connection_closed") {
		t.Error("not written")
	}
}

// A trace allocates nothing for an event.
func TestTraceAllocations(t *testing.T) {
	trace := NewTrace(io.Discard, Header{VantagePoint: Client})
	e := &PacketSent{
		Header: PacketHeader{Type: Packet1RTT, Numbered: true},
		Frames: []Frame{{Type: FrameAck, Ranges: []AckRange{{1, 2}, {4, 5}}}, {Type: FrameStream, Length: 1100}},
	}
	at := epoch
	if n := testing.AllocsPerRun(1000, func() {
		at = at.Add(time.Microsecond)
		trace.Event(at, e)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

const testHeader = "\x1e" + `{"serialization_format":"application/qlog+json-seq","trace":{"event_schemas":["x"]}}` + "\n"

// A reader says what is wrong, and keeps no more than it promises.
func TestReaderErrors(t *testing.T) {
	for _, test := range []struct {
		name, in string
		records  int
		err      error // nil for any
	}{
		{"nothing", "", -1, io.ErrUnexpectedEOF},
		{"no header", "\x1e{}\n", -1, nil},
		{"no JSON", "\x1e{\n", -1, nil},
		{"header alone", testHeader, 0, io.EOF},
		{"empty records", testHeader + "\x1e\n\x1e\x1e", 0, io.EOF},
		{"cut short", testHeader + "\x1e{\"time\":1,\"na", 0, io.ErrUnexpectedEOF},
		{"bad record", testHeader + "\x1e{\"time\":}\n\x1e{}\n", 0, nil},
		{"no name", testHeader + "\x1e{\"time\":1}\n\x1e{}\n", 0, nil},
		{"too long", testHeader + "\x1e\"" + strings.Repeat("x", maxRecord) + "\"\n", 0, ErrRecordTooLong},
		{"no separator at the start", testHeader[1:] + "\x1e{\"time\":1,\"name\":\"a:b\"}\n", 1, io.EOF},
	} {
		r, err := NewReader(strings.NewReader(test.in))
		n := 0
		if test.records < 0 {
			n = -1
		}
		for err == nil {
			if _, err = r.Next(); err == nil {
				n++
			}
		}
		if n != test.records || test.err != nil && !errors.Is(err, test.err) || test.err == nil && errors.Is(err, io.EOF) {
			t.Errorf("%s: %d records, then %v", test.name, n, err)
		}
	}
}

// Nothing that is called a trace makes a reader panic or go on for ever.
func FuzzReader(f *testing.F) {
	f.Add([]byte(testHeader + "\x1e{\"time\":1.5,\"name\":\"a:b\",\"data\":{}}\n"))
	f.Add([]byte(testHeader + "\x1e\x1e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		n := 0
		for err == nil {
			if _, err = r.Next(); n > len(b) {
				t.Fatal("more records than bytes")
			}
			n++
		}
	})
}
