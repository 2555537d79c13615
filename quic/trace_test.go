package quic

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// traces are the traces of both sides of a pair.
type traces struct {
	t       *testing.T
	name    string
	buf     [2]bytes.Buffer
	odcid   [2]ConnectionID
	started [2]int
}

// record makes p's connections write traces. Where the environment names a directory, QLOGDIR, they are kept there at the end of
// the test, for the check of CONTRIBUTING.md.
func record(t *testing.T, cfg *[2]*Config) *traces {
	tr := &traces{t: t, name: strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())}
	for side := range Side(2) {
		cfg[side].NewTracer = func(s Side, odcid ConnectionID) qlog.Tracer {
			tr.started[s]++
			tr.odcid[s] = odcid
			return qlog.NewTrace(&tr.buf[s], qlog.Header{
				VantagePoint: qlog.VantagePoint(s.String()), GroupID: odcid.String(),
			})
		}
	}
	t.Cleanup(func() {
		if dir := os.Getenv("QLOGDIR"); dir != "" && !t.Failed() {
			for side := range Side(2) {
				name := filepath.Join(dir, tr.name+"_"+side.String()+".sqlog")
				if err := os.WriteFile(name, tr.buf[side].Bytes(), 0o600); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return tr
}

// traceEvent is an event of a trace that is read again.
type traceEvent struct {
	at   time.Duration
	name string
	data map[string]any
}

// events reads the trace of side, which has to be well-formed.
func (tr *traces) events(side Side) (all []traceEvent) {
	tr.t.Helper()
	r, err := qlog.NewReader(bytes.NewReader(tr.buf[side].Bytes()))
	if err != nil {
		tr.t.Fatal(err)
	}
	h := r.Header()
	if h.Trace.CommonFields.GroupID != tr.odcid[side].String() || h.Trace.VantagePoint.Type != side.String() ||
		h.FileSchema != "urn:ietf:params:qlog:file:sequential" || h.SerializationFormat != "application/qlog+json-seq" {
		tr.t.Errorf("%v: header %+v", side, h)
	}
	last := time.Duration(0)
	for {
		e, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			tr.t.Fatal(err)
		}
		data := map[string]any{}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			tr.t.Fatalf("%s: %v", e.Data, err)
		}
		if e.Time < last {
			tr.t.Fatalf("%v: time goes back at %s", side, e.Name)
		}
		last = e.Time
		all = append(all, traceEvent{e.Time, e.Name, data})
	}
}

// named returns the events of one name.
func named(all []traceEvent, name string) (some []traceEvent) {
	for _, e := range all {
		if e.name == "quic:"+name {
			some = append(some, e)
		}
	}
	return some
}

// values returns what events have at a path of member names, "" where there is nothing.
func values(all []traceEvent, path string) (some []string) {
	for _, e := range all {
		var v any = e.data
		for _, k := range strings.Split(path, ".") {
			m, _ := v.(map[string]any)
			v = m[k]
		}
		s, ok := v.(string)
		if !ok && v != nil {
			b, _ := json.Marshal(v)
			s = string(b)
		}
		some = append(some, s)
	}
	return some
}

// frames returns the types of the frames of events.
func frames(all []traceEvent) map[string]int {
	types := map[string]int{}
	for _, e := range all {
		list, _ := e.data["frames"].([]any)
		for _, f := range list {
			types[f.(map[string]any)["frame_type"].(string)]++
		}
	}
	return types
}

func (tr *traces) close(p *testPair) {
	tr.t.Helper()
	p.conn[Client].Close(p.now, &ApplicationError{Code: 0x100, Reason: "that's \"all\""})
	p.idle(10 * time.Second)
	for side := range Side(2) {
		if tr.started[side] != 1 {
			tr.t.Errorf("%v: %d traces", side, tr.started[side])
		}
	}
	if tr.odcid[Client] != tr.odcid[Server] {
		tr.t.Errorf("original destination connection IDs %v and %v", tr.odcid[Client], tr.odcid[Server])
	}
}

// What a lossy transfer leaves in the traces of both ends agrees with what the ends count, and with each other.
func TestTraceTransfer(t *testing.T) {
	for name, cc := range map[string]CongestionControl{"CUBIC": CUBIC, "NewReno": NewReno, "BBR": BBR} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			var tr *traces
			p := newTestPair(t, func(p *testPair) {
				p.cfg[Client].CongestionControl = cc
				tr = record(t, &p.cfg)
			})
			p.filter = func(from Side, data []byte) bool {
				sent++
				return sent%37 != 0
			}
			p.establish()
			p.transfer(Client, 500_000)
			if err := p.conn[Client].TrySendDatagram([]byte("datagram")); err != nil {
				t.Fatal(err)
			}
			p.idle(time.Second)
			if _, err := p.conn[Server].TryReceiveDatagram(); err != nil {
				t.Fatal(err)
			}
			tr.close(p)
			for side, c := range p.conn {
				all, s := tr.events(Side(side)), c.Stats()
				for _, n := range []struct {
					what      string
					got, want int
				}{
					{"packets sent", len(named(all, "packet_sent")), int(s.PacketsSent)},
					{"packets lost", len(slices.DeleteFunc(named(all, "packet_lost"), func(e traceEvent) bool {
						return e.data["is_mtu_probe_packet"] == true
					})), int(s.PacketsLost)},
					{"datagrams moved", len(named(all, "datagram_data_moved")), 1},
					{"connection started", len(named(all, "connection_started")), 1},
					{"connection closed", len(named(all, "connection_closed")), 1},
					{"recovery parameters", len(named(all, "recovery_parameters_set")), 1},
				} {
					if n.got != n.want {
						t.Errorf("%v: %s: %d, want %d", Side(side), n.what, n.got, n.want)
					}
				}
				// A packet with a CONNECTION_CLOSE counts after its trace has ended.
				if got := len(named(all, "packet_received")); got != int(s.PacketsReceived) && got != int(s.PacketsReceived)+1 {
					t.Errorf("%v: %d packets received, want %d", Side(side), got, s.PacketsReceived)
				}
				want := []string{"attempted", "handshake_started", "handshake_complete", "handshake_confirmed", "closing"}
				if Side(side) == Server {
					want[4] = "draining"
				}
				if got := values(named(all, "connection_state_updated"), "new"); !slices.Equal(got, want) {
					t.Errorf("%v: states %v, want %v", Side(side), got, want)
				}
				if got := values(named(all, "connection_closed"), "reason"); got[0] != "that's \"all\"" {
					t.Errorf("%v: closed because of %q", Side(side), got)
				}
				for _, name := range []string{
					"version_information", "alpn_information", "parameters_set", "key_updated", "key_discarded",
					"packets_acked", "udp_datagrams_sent", "udp_datagrams_received", "stream_state_updated",
					"stream_data_moved", "recovery_metrics_updated", "congestion_state_updated", "timer_updated",
					"marked_for_retransmit", "ecn_state_updated", "tuple_assigned",
				} {
					if len(named(all, name)) == 0 && (Side(side) == Client || name != "marked_for_retransmit") {
						t.Errorf("%v: no %s", Side(side), name)
					}
				}
			}
			client := tr.events(Client)
			if got := values(named(client, "mtu_updated"), "new"); len(got) == 0 || got[len(got)-1] != "1452" {
				t.Errorf("MTU %v", got)
			}
			if types := frames(named(client, "packet_sent")); types["stream"] == 0 || types["unknown"] > 0 || types["datagram"] != 1 {
				t.Errorf("frames %v", types)
			}
		})
	}
}

// The trace of early data names what was remembered, and the packets.
func TestTraceEarlyData(t *testing.T) {
	e := newEarlyPair(t)
	var tr *traces
	p := e.pair(func(p *testPair) {
		for side := range Side(2) {
			e.change(side, func(c *Config) {
				cfg := [2]*Config{c, c}
				if tr == nil {
					tr = record(t, &cfg)
					return
				}
				c.NewTracer = e.cfg[Client].NewTracer
			})
		}
		p.cfg = e.cfg
	})
	sendEarly(t, p.conn[Client], Bidi, 3000)
	readEarly(t, p, Bidi, 3000)
	p.establish()
	tr.close(p)
	client, server := tr.events(Client), tr.events(Server)
	if len(named(client, "parameters_restored")) != 1 {
		t.Error("no parameters_restored at the client")
	}
	if !slices.Contains(values(named(client, "packet_sent"), "header.packet_type"), "0RTT") ||
		!slices.Contains(values(named(server, "packet_received"), "header.packet_type"), "0RTT") {
		t.Error("no 0-RTT packets")
	}
	for side, all := range [2][]traceEvent{client, server} {
		if !slices.Contains(values(named(all, "key_updated"), "key_type"), "client_0rtt_secret") ||
			!slices.Contains(values(named(all, "parameters_set"), "early_data_enabled"), "true") {
			t.Errorf("%v: no 0-RTT keys, or not enabled", Side(side))
		}
	}
}

// The traces of a migration name both paths, and each packet type and state on the way.
func TestTraceMigration(t *testing.T) {
	var tr *traces
	p := newTestPair(t, func(p *testPair) { tr = record(t, &p.cfg) })
	p.establish()
	p.transfer(Client, 100_000)
	p.migrate(movedAddr)
	p.transfer(Server, 100_000)
	tr.close(p)
	for side := range Side(2) {
		all := tr.events(side)
		if got := values(named(all, "tuple_assigned"), "tuple_id"); !slices.Equal(got, []string{"", "1"}) {
			t.Errorf("%v: tuples %v", side, got)
		}
		states := values(named(all, "migration_state_updated"), "new")
		if !slices.Contains(states, "migration_started") || !slices.Contains(states, "migration_complete") {
			t.Errorf("%v: migration went through %v", side, states)
		}
		types := frames(append(named(all, "packet_sent"), named(all, "packet_received")...))
		if types["path_challenge"] == 0 || types["path_response"] == 0 || types["new_connection_id"] == 0 {
			t.Errorf("%v: frames %v", side, types)
		}
		if len(named(all, "connection_id_updated")) == 0 {
			t.Errorf("%v: no other connection ID", side)
		}
	}
}

// The frames of extensions, of abandoned streams and of limits that block are in the traces of both ends.
func TestTraceExtensions(t *testing.T) {
	for side := range Side(2) {
		t.Run(side.String()+" sends", func(t *testing.T) {
			var tr *traces
			p := newTestPair(t, func(p *testPair) {
				p.cfg[side].AckFrequency = true
				p.cfg[side.Peer()].MaxUniStreams = 4
				tr = record(t, &p.cfg)
				// A link of a gigabit a second: each datagram arrives by itself.
				var free time.Time
				p.delayOf = func() time.Duration {
					if free.Before(p.now) {
						free = p.now
					}
					free = free.Add(12 * time.Microsecond)
					return free.Sub(p.now)
				}
			})
			lost := false
			p.filter = func(from Side, _ []byte) bool { return !lost || from != side }
			p.establish()
			p.transfer(side, 400_000)
			c := p.conn[side]
			var open []*Stream
			for {
				s, err := c.OpenStream(Uni)
				if err != nil {
					break
				}
				if _, err := s.TryWrite(make([]byte, 3000), false); err != nil {
					t.Fatal(err)
				}
				open = append(open, s)
			}
			if len(open) < 2 {
				t.Fatalf("%d streams", len(open))
			}
			p.idle(100 * time.Millisecond)
			if !open[0].ResetAt(7, 2000) {
				t.Fatal("no RESET_STREAM_AT")
			}
			open[1].Reset(8)
			if err := c.TrySendDatagram([]byte("datagram")); err != nil {
				t.Fatal(err)
			}
			b, err := c.OpenStream(Bidi)
			if err != nil {
				t.Fatal(err)
			}
			b.TryWrite([]byte("never mind"), true)
			b.StopSending(9)
			p.idle(time.Second)
			// A tail that is lost.
			lost = true
			if err := c.TrySendDatagram([]byte("lost")); err != nil {
				t.Fatal(err)
			}
			p.idle(50 * time.Millisecond)
			lost = false
			p.idle(time.Second)
			tr.close(p)
			sent, received := frames(named(tr.events(side), "packet_sent")), frames(named(tr.events(side.Peer()), "packet_received"))
			for _, typ := range []string{
				"ack_frequency", "immediate_ack", "reset_stream_at", "reset_stream", "stop_sending", "streams_blocked", "datagram",
			} {
				if sent[typ] == 0 || received[typ] == 0 {
					t.Errorf("%s: %d sent, %d received", typ, sent[typ], received[typ])
				}
			}
			if sent["unknown"]+received["unknown"] > 0 {
				t.Errorf("unknown frames: %v, %v", sent, received)
			}
		})
	}
}

// The versions, a Retry and a Version Negotiation packet are in the traces.
func TestTraceVersions(t *testing.T) {
	t.Run("version 2", func(t *testing.T) {
		var tr *traces
		p := newTestPair(t, func(p *testPair) {
			speak(p, nil, []Version{Version2, Version1})
			tr = record(t, &p.cfg)
		})
		p.establish()
		tr.close(p)
		for side := range Side(2) {
			got := values(named(tr.events(side), "version_information"), "chosen_version")
			if !slices.Equal(got, []string{"00000001", "6b3343cf"}) {
				t.Errorf("%v: versions %v", side, got)
			}
		}
	})
	t.Run("version negotiation", func(t *testing.T) {
		var tr *traces
		p := newTestPair(t, func(p *testPair) {
			speak(p, []Version{Version1, Version2}, []Version{Version2})
			tr = record(t, &p.cfg)
		})
		p.establish()
		p.conn[Client].Close(p.now, nil)
		p.idle(time.Second)
		all := tr.events(Client)
		if types := values(named(all, "packet_received"), "header.packet_type"); types[0] != "version_negotiation" {
			t.Errorf("packets %v", types)
		}
		if got := values(named(all, "version_information"), "server_versions"); !slices.Contains(got, `["6b3343cf"]`) &&
			!strings.Contains(strings.Join(got, ""), "6b3343cf") {
			t.Errorf("server versions %v", got)
		}
	})
	t.Run("retry", func(t *testing.T) {
		var tr *traces
		p := newTestPair(t, func(p *testPair) {
			p.demux = DemuxConfig{Retry: RetryAlways}
			tr = record(t, &p.cfg)
		})
		p.establish()
		tr.close(p)
		if types := values(named(tr.events(Client), "packet_received"), "header.packet_type"); types[0] != "retry" {
			t.Errorf("packets %v", types)
		}
	})
}

// Key updates have phases and triggers.
func TestTraceKeyUpdate(t *testing.T) {
	var tr *traces
	p := newTestPair(t, func(p *testPair) { tr = record(t, &p.cfg) })
	p.establish()
	p.transfer(Client, 10_000)
	p.idle(time.Second)
	p.conn[Client].InitiateKeyUpdate()
	p.transfer(Client, 10_000)
	p.idle(5 * time.Second)
	tr.close(p)
	for side, want := range [2]string{Client: "local_update", Server: "remote_update"} {
		all := tr.events(Side(side))
		if got := values(named(all, "key_updated"), "trigger"); got[len(got)-1] != want {
			t.Errorf("%v: triggers %v", Side(side), got)
		}
		if got := values(named(all, "key_discarded"), "key_type"); got[len(got)-1] != "server_1rtt_secret" {
			t.Errorf("%v: discarded %v", Side(side), got)
		}
	}
}

// What ends a connection is in its trace.
func TestTraceEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(p *testPair)
		want map[string]string
	}{
		{"idle timeout", func(p *testPair) { p.idle(time.Minute) }, map[string]string{"trigger": "idle_timeout", "initiator": "local"}},
		{"application", func(p *testPair) {
			p.conn[Server].Close(p.now, &ApplicationError{Code: 77})
			p.idle(time.Second)
		}, map[string]string{"trigger": "application", "initiator": "remote", "application_error": "unknown", "error_code": "77"}},
		{"error", func(p *testPair) {
			p.conn[Server].fail(transportError(FlowControlError, "too much"))
			p.idle(time.Second)
		}, map[string]string{"trigger": "error", "initiator": "remote", "connection_error": "flow_control_error", "reason": "too much"}},
		{"stateless reset", func(p *testPair) {
			c := p.conn[Client]
			reset := append([]byte{0x40, 1, 2, 3, 4, 5}, c.peer.active[0].token[:]...)
			c.Receive(p.now, Inbound{Path: testPaths[Client], Data: reset})
		}, map[string]string{"trigger": "stateless_reset", "initiator": "remote"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tr *traces
			p := newTestPair(t, func(p *testPair) { tr = record(t, &p.cfg) })
			p.establish()
			p.idle(time.Second)
			test.end(p)
			closed := named(tr.events(Client), "connection_closed")
			if len(closed) != 1 {
				t.Fatalf("%d ends", len(closed))
			}
			for k, want := range test.want {
				if got := values(closed, k)[0]; got != want {
					t.Errorf("%s is %q, want %q", k, got, want)
				}
			}
			if tr := p.conn[Client].trace; tr != nil {
				t.Error("still traced")
			}
		})
	}
}

// What is thrown away is in the trace, with the reason.
func TestTraceDrops(t *testing.T) {
	var tr *traces
	var again [][]byte
	p := newTestPair(t, func(p *testPair) {
		tr = record(t, &p.cfg)
		p.filter = func(from Side, data []byte) bool {
			if from == Client {
				again = append(again, bytes.Clone(data))
			}
			return true
		}
	})
	p.establish()
	p.idle(time.Second)
	c := p.conn[Server]
	for _, b := range again {
		c.Receive(p.now, Inbound{Path: testPaths[Server], Data: b})
	}
	short := append([]byte{0x40}, c.local.active[0].id.Bytes()...)
	c.Receive(p.now, Inbound{Path: testPaths[Server], Data: append(short, make([]byte, 30)...)})
	c.Receive(p.now, Inbound{Path: testPaths[Server], Data: append([]byte{0x40}, make([]byte, 40)...)})
	c.Receive(p.now, Inbound{Path: testPaths[Server], Data: []byte{0xc0, 1, 2, 3}})
	tr.close(p)
	got := values(named(tr.events(Server), "packet_dropped"), "trigger")
	for _, want := range []string{"duplicate", "key_unavailable", "decryption_failure", "connection_unknown", "invalid"} {
		if !slices.Contains(got, want) {
			t.Errorf("nothing dropped because of %s, but of %v", want, got)
		}
	}
}

// Secrets are nowhere in a trace: no keys, no tokens, nothing of what streams carry.
func TestTraceHasNoSecrets(t *testing.T) {
	var tr *traces
	p := newTestPair(t, func(p *testPair) { tr = record(t, &p.cfg) })
	p.establish()
	s, err := p.conn[Client].OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.TryWrite([]byte("swordfish"), true)
	p.idle(time.Second)
	var tokens []string
	for _, c := range p.conn {
		for _, id := range c.peer.active {
			if id.hasToken {
				tokens = append(tokens, hex.EncodeToString(id.token[:]))
			}
		}
	}
	tr.close(p)
	if len(tokens) == 0 {
		t.Fatal("no stateless reset tokens")
	}
	for side := range Side(2) {
		text := tr.buf[side].String()
		for _, secret := range append(tokens, "swordfish", hex.EncodeToString([]byte("swordfish"))) {
			if strings.Contains(text, secret) {
				t.Errorf("%v: %s is in the trace", side, secret)
			}
		}
	}
}

// Every frame type that is known is known to traces, too.
func TestTraceFrames(t *testing.T) {
	tr := &tracing{}
	for typ := range wire.FrameType(1 << 14) {
		if !typ.Known() {
			continue
		}
		found := false
		for _, fill := range []byte{0, 1} { // one of them is a frame of that type
			b := append(wire.AppendVarint(nil, uint64(typ)), bytes.Repeat([]byte{fill}, 40)...)
			got := tr.parse(b, 3)
			found = found || got[0].Type != qlog.FrameUnknown
		}
		if !found {
			t.Errorf("%v is unknown to traces", typ)
		}
	}
	for _, test := range []struct {
		b    []byte
		code uint64 // 0 where even the type is cut short
	}{{[]byte{0x42}, 0}, {[]byte{0x06}, 0x06}, {[]byte{0x40, 0x52}, 0x52}, {[]byte{0x80, 1, 2, 3, 4}, 0x10203}, {[]byte{0x02, 1}, 0x02}} {
		got := tr.parse(append([]byte{1}, test.b...), 3)
		if len(got) != 2 || got[1].Type != qlog.FrameUnknown || got[1].Code != test.code {
			t.Errorf("% x: %+v", test.b, got)
		}
	}
}
