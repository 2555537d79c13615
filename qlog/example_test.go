package qlog_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/qlog"
)

// A trace is written by a connection, whose config has a NewTracer that returns a Trace. What the connection does with it is
// done by hand here.
func Example() {
	var file bytes.Buffer
	trace := qlog.NewTrace(&file, qlog.Header{VantagePoint: qlog.Client, GroupID: "8394c8f03e515708"})
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	trace.Event(start, &qlog.PacketSent{
		Header: qlog.PacketHeader{Type: qlog.PacketInitial, Numbered: true},
		Frames: []qlog.Frame{{Type: qlog.FrameCrypto, Length: 300}, {Type: qlog.FramePadding, Length: 850}},
		Length: 1200,
	})
	trace.Event(start.Add(1500*time.Microsecond), &qlog.ConnectionClosed{Trigger: qlog.CloseIdleTimeout})
	trace.Close()

	r, err := qlog.NewReader(&file)
	if err != nil {
		panic(err)
	}
	fmt.Println("connection", r.Header().Trace.CommonFields.GroupID)
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Time, e.Name, string(e.Data))
	}
	// Output:
	// connection 8394c8f03e515708
	// 0s quic:packet_sent {"header":{"packet_type":"initial","packet_number":0},"frames":[{"frame_type":"crypto","offset":0,"raw":{"length":300,"payload_length":300}},{"frame_type":"padding","raw":{"length":850,"payload_length":850}}],"raw":{"length":1200}}
	// 1.5ms quic:connection_closed {"trigger":"idle_timeout"}
}

// A trace of any program can be read.
func ExampleReader() {
	trace := "\x1e" + `{"file_schema":"urn:ietf:params:qlog:file:sequential","serialization_format":"application/qlog+json-seq",
		"trace":{"common_fields":{"time_format":"relative_to_previous_event"},"event_schemas":["urn:ietf:params:qlog:events:quic-13"]}}` +
		"\n\x1e" + `{"time":2,"name":"quic:packet_lost","data":{"header":{"packet_type":"1RTT","packet_number":7}}}` +
		"\n\x1e" + `{"time":3.25,"name":"quic:packet_lost","data":{"header":{"packet_type":"1RTT","packet_number":9}}}` + "\n"
	r, err := qlog.NewReader(strings.NewReader(trace))
	if err != nil {
		panic(err)
	}
	for e, err := r.Next(); err == nil; e, err = r.Next() {
		fmt.Println(e.Time, e.Name)
	}
	// Output:
	// 2ms quic:packet_lost
	// 5.25ms quic:packet_lost
}
