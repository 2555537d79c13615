package h3

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// tracedOptions makes both sides write traces. Where the environment names a directory, QLOGDIR, they are kept there at the end
// of the test, for the check of CONTRIBUTING.md.
func tracedOptions(t *testing.T, o pairOptions) (pairOptions, *[2]bytes.Buffer) {
	var traces [2]bytes.Buffer
	o.quic = func(side quic.Side, cfg *quic.Config) {
		cfg.NewTracer = func(side quic.Side, odcid quic.ConnectionID) qlog.Tracer {
			return qlog.NewTrace(&traces[side], qlog.Header{VantagePoint: qlog.VantagePoint(side.String()), GroupID: odcid.String()})
		}
	}
	t.Cleanup(func() {
		if dir := os.Getenv("QLOGDIR"); dir != "" && !t.Failed() {
			for side := range traces {
				name := filepath.Join(dir, "h3"+t.Name()+"_"+quic.Side(side).String()+".sqlog")
				if err := os.WriteFile(name, traces[side].Bytes(), 0o600); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return o, &traces
}

// http3Events returns the events of HTTP/3 of a trace, with their data in a compact form.
func http3Events(t *testing.T, b []byte) (all []string) {
	t.Helper()
	r, err := qlog.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(e.Name, "http3:"); ok {
			if !json.Valid(e.Data) {
				t.Errorf("%s: %s", name, e.Data)
			}
			all = append(all, name+" "+string(e.Data))
		}
	}
}

// Each side's trace has what HTTP/3 sent and received, and no secrets.
func TestTrace(t *testing.T) {
	o, traces := tracedOptions(t, pairOptions{})
	p := newPair(t, o)
	c := p.request(append(slices.Clone(getRequest),
		Field{Name: "priority", Value: "u=1, i"}, Field{Name: "cookie", Value: "swordfish"}, Field{Name: "x-key", Value: "swordfish", NeverIndex: true}), true)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	if err := s.SendInterim(fields(":status", "103")); err != nil {
		t.Fatal(err)
	}
	if err := s.SendHeaders(okResponse, false); err != nil {
		t.Fatal(err)
	}
	if n, err := s.TryWriteBody([]byte("hello"), false); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.SendTrailers(fields("x-checksum", "0123")); err != nil {
		t.Fatal(err)
	}
	p.h[quic.Server].GoAway(MaxRequestID)
	p.run()
	readAll(c)
	p.run()
	p.q[quic.Client].Close(p.now, nil)
	p.run()

	client, server := http3Events(t, traces[quic.Client].Bytes()), http3Events(t, traces[quic.Server].Bytes())
	for side, all := range map[quic.Side][]string{quic.Client: client, quic.Server: server} {
		text := strings.Join(all, "\n")
		if strings.Contains(text, "swordfish") {
			t.Errorf("%v: a secret is in the trace", side)
		}
		want := []string{
			`parameters_set {"initiator":"local","max_field_section_size":65536,`, `parameters_set {"initiator":"remote",`,
			`{"initiator":"local","stream_id":0,"stream_type":"request"}`, `"stream_type":"control"`, `"stream_type":"qpack_encode"`,
			`"stream_type":"qpack_decode"`, `"stream_type":"reserved"`, `"frame_type":"settings"`, `"frame_type":"reserved"`,
			`frame_created {"stream_id":0,"frame":{"frame_type":"headers","headers":[{"name":":method","value":"GET"}`, `{"name":"cookie"}`, `{"name":"x-key"}`,
			`frame_parsed {"stream_id":0,"frame":{"frame_type":"headers","headers":[{"name":":status","value":"103"}]`, `"value":"200"`,
			`"frame_type":"data","raw":{"payload_length":5}`, `{"name":"x-checksum","value":"0123"}`, `"frame_type":"goaway","id":`,
		}
		if side == quic.Server {
			want = append(want, `priority_updated {"stream_id":0,"new":"u=1, i","trigger":`)
		}
		for _, w := range want {
			if side == quic.Server {
				w = strings.Replace(w, `"initiator":"local","stream_id":0`, `"initiator":"remote","stream_id":0`, 1)
				switch {
				case strings.HasPrefix(w, "frame_created"):
					w = "frame_parsed" + strings.TrimPrefix(w, "frame_created")
				case strings.HasPrefix(w, "frame_parsed"):
					w = "frame_created" + strings.TrimPrefix(w, "frame_parsed")
				}
			}
			if !strings.Contains(text, w) {
				t.Errorf("%v: nothing like %s", side, w)
			}
		}
	}
	if t.Failed() {
		t.Log(strings.Join(client, "\n"))
	}
}

// HTTP datagrams are in the traces of both sides.
func TestTraceDatagrams(t *testing.T) {
	o, traces := tracedOptions(t, extendedOptions())
	p := newPair(t, o)
	c, s := p.tunnel(websocketRequest)
	if err := c.TrySendDatagram([]byte("seven b")); err != nil {
		t.Fatal(err)
	}
	p.settle()
	if got, err := s.TryReceiveDatagram(); string(got) != "seven b" || err != nil {
		t.Fatal(got, err)
	}
	p.q[quic.Client].Close(p.now, nil)
	p.now = p.now.Add(time.Millisecond)
	for side, want := range []string{"datagram_created", "datagram_parsed"} {
		p.q[side].Close(p.now, nil)
		all := http3Events(t, traces[side].Bytes())
		if !slices.Contains(all, want+` {"quarter_stream_id":0,"raw":{"payload_length":7}}`) {
			t.Errorf("%v: no %s in %s", quic.Side(side), want, strings.Join(all, "\n"))
		}
	}
}
