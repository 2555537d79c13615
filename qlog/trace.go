package qlog

import (
	"io"
	"time"
)

// VantagePoint says where a trace was written.
type VantagePoint string

// The two ends of a connection.
const (
	Client VantagePoint = "client"
	Server VantagePoint = "server"
)

// Header is what a trace begins with, and how it is written.
type Header struct {
	Title string // optional
	// VantagePoint is required. Name is an optional name of the endpoint.
	VantagePoint VantagePoint
	Name         string
	// GroupID links the traces of both ends: by custom the hexadecimal original destination connection ID.
	GroupID string
	// OnError, if set, hears of the first error of the writer, in the middle of a call of the trace. Nothing is written after
	// it.
	OnError func(error)
}

// bufferSize is how much a Trace collects before it writes.
const bufferSize = 16 << 10

// Trace is a [Tracer] that writes a trace as JSON text sequences (RFC 7464). It collects 16 KiB and then writes them with one
// call of the writer, in the middle of the connection's work: a writer that blocks, blocks the connection. Like all Tracers it
// is for one goroutine at a time.
type Trace struct {
	w      io.Writer
	head   Header
	buf    []byte
	begun  bool
	start  time.Time
	err    error
	closed bool
}

// NewTrace returns a Trace that writes to w. It begins with the first event, whose time is the zero of all others. If w is an
// [io.Closer], it is closed with the trace.
func NewTrace(w io.Writer, h Header) *Trace { return &Trace{w: w, head: h} }

// Event implements [Tracer].
func (t *Trace) Event(at time.Time, e Event) {
	if t.err != nil || t.closed {
		return
	}
	if !t.begun {
		t.begin(at)
	}
	b := append(t.buf, recordSeparator, '{')
	o := object{b}
	o.ms("time", at.Sub(t.start))
	o.name("name", e.Name())
	o.key("data")
	t.buf = append(e.AppendData(o.b), '}', '\n')
	if _, last := e.(*ConnectionClosed); last || len(t.buf) >= bufferSize {
		t.Flush()
	}
}

// recordSeparator begins every record (RFC 7464, Section 2.2).
const recordSeparator = 0x1e

// begin appends the header, for a trace that starts at that time.
func (t *Trace) begin(at time.Time) {
	t.begun, t.start = true, at
	if t.buf == nil {
		// Room for the event that reaches the bound.
		t.buf = make([]byte, 0, bufferSize+2048)
	}
	h := &t.head
	o := begin(append(t.buf, recordSeparator))
	o.name("file_schema", "urn:ietf:params:qlog:file:sequential")
	o.name("serialization_format", "application/qlog+json-seq")
	o.text("title", h.Title)
	o.key("trace")
	trace := begin(o.b)
	trace.key("common_fields")
	common := begin(trace.b)
	common.text("group_id", h.GroupID)
	common.name("time_format", "relative_to_epoch")
	common.key("reference_time")
	ref := begin(common.b)
	ref.name("clock_type", "monotonic")
	ref.name("epoch", "unknown")
	ref.key("wall_clock_time")
	ref.b = append(ref.b, '"')
	ref.b = at.UTC().AppendFormat(ref.b, "2006-01-02T15:04:05.000Z07:00")
	ref.b = append(ref.b, '"')
	common.b = ref.end()
	trace.b = common.end()
	trace.key("vantage_point")
	point := begin(trace.b)
	point.text("name", h.Name)
	point.name("type", string(h.VantagePoint))
	trace.b = point.end()
	trace.key("event_schemas")
	trace.b = append(trace.b, `["`+SchemaQUIC+`","`+SchemaHTTP3+`"]`...)
	o.b = trace.end()
	t.buf = append(o.end(), '\n')
}

// Flush writes what has been collected.
func (t *Trace) Flush() {
	if t.err != nil || len(t.buf) == 0 {
		return
	}
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	t.fail(err)
}

// fail notes an error of the writer.
func (t *Trace) fail(err error) {
	if err == nil || t.err != nil {
		return
	}
	t.err = err
	t.buf = nil
	if t.head.OnError != nil {
		t.head.OnError(err)
	}
}

// Err returns the first error of the writer.
func (t *Trace) Err() error { return t.err }

// Close writes what has been collected and closes the writer if it is an [io.Closer]. It implements [Tracer].
func (t *Trace) Close() {
	if t.closed {
		return
	}
	t.Flush()
	t.closed = true
	t.buf = nil
	if c, ok := t.w.(io.Closer); ok {
		t.fail(c.Close())
	}
}
