package qlog

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	v4 = netip.MustParseAddrPort("192.0.2.1:443")
	v6 = netip.MustParseAddrPort("[fe80::1%eth0]:443")
)

// events are one of each kind and more, with the members that must be there and some that must not, after a minus.
var events = []struct {
	event Event
	want  string
}{
	{&ServerListening{Addr: v4, RetryRequired: true}, "ip_v4 port_v4 retry_required -ip_v6"},
	{&ServerListening{Addr: v6}, "ip_v6 port_v6 -retry_required"},
	{&ConnectionStarted{}, "local remote"},
	{&ConnectionClosed{Trigger: CloseIdleTimeout}, "trigger -connection_error -application_error -reason"},
	{&ConnectionClosed{Error: true, Code: 3}, "connection_error -error_code"},
	{&ConnectionClosed{Error: true, Code: 0x99}, "connection_error error_code"},
	{&ConnectionClosed{Error: true, Application: true, Code: 0x10c, Reason: "\"\x00\xff\u2028"}, "application_error reason"},
	{&ConnectionIDUpdated{Initiator: Local, Old: []byte{1}, New: []byte{2}}, "initiator old new"},
	{&ConnectionStateUpdated{New: StateClosed}, "new -old"},
	{&TupleAssigned{}, "tuple_id tuple_remote tuple_local"},
	{&TupleAssigned{ID: "1", Abandoned: true}, "tuple_id -tuple_remote -tuple_local"},
	{&MTUUpdated{Old: 1200, New: 1452, Done: true}, "old new done"},
	{&MigrationStateUpdated{New: ProbingStarted}, "new tuple_id"},
	{&VersionInformation{Server: []uint32{1, 2}, Client: []uint32{1}, Chosen: 1}, "server_versions client_versions chosen_version"},
	{&VersionInformation{Client: []uint32{1}}, "client_versions -chosen_version -server_versions"},
	{&ALPNInformation{Server: []string{"h3"}, Client: []string{"h3", "\x00"}, Chosen: "h3"}, "server_alpns client_alpns chosen_alpn"},
	{&ParametersSet{Initiator: Remote, Parameters: Parameters{InitialSCID: []byte{}}},
		"initiator initial_source_connection_id initial_max_data -retry_source_connection_id"},
	{&HandshakeParametersSet{Cipher: "AES_128_GCM_SHA256", Resumption: true}, "tls_cipher resumption_allowed -initiator"},
	{&ParametersRestored{}, "initial_max_data -initiator"},
	{&PacketSent{Header: PacketHeader{Type: Packet1RTT, Numbered: true}, PTOProbe: true}, "header frames trigger -is_mtu_probe_packet"},
	{&PacketReceived{Header: PacketHeader{Type: PacketRetry, Version: 1, TokenLen: 5}}, "header -frames"},
	{&PacketReceived{Header: PacketHeader{Type: PacketVersionNegotiation}, Versions: []uint32{7}}, "header supported_versions"},
	{&PacketDropped{Header: PacketHeader{Type: PacketUnknown}, Length: 5, Trigger: DroppedInvalid}, "header raw trigger"},
	{&PacketBuffered{Header: PacketHeader{Type: PacketHandshake}, Length: 5}, "header raw trigger"},
	{&PacketsAcked{Space: SpaceInitial, Numbers: []uint64{1, 2}}, "packet_number_space packet_numbers"},
	{&UDPDatagramsSent{Len: 2500, Segment: 1200, ECN: 2}, "count raw ecn"},
	{&UDPDatagramsReceived{Len: 0}, "count raw ecn"},
	{&UDPDatagramDropped{Length: 3}, "raw"},
	{&StreamStateUpdated{ID: 4, New: StreamOpen, Receiving: true}, "stream_id stream_type new stream_side -trigger"},
	{&StreamDataMoved{From: Application, To: Transport, Fin: true}, "stream_id offset from to additional_info raw"},
	{&DatagramDataMoved{Length: 7, From: Transport, To: Application}, "from to raw"},
	{&ConnectionDataBlockedUpdated{Blocked: true, Reason: BlockedByConnectionFlow}, "old new reason"},
	{&StreamDataBlockedUpdated{ID: 1}, "old new stream_id -reason"},
	{&KeyUpdated{Type: Client1RTTSecret, Trigger: KeysByLocalUpdate}, "key_type key_phase trigger -new"},
	{&KeyDiscarded{Type: ClientInitialSecret, Trigger: KeysByTLS}, "key_type trigger -key_phase"},
	{&RecoveryParametersSet{TimeThreshold: 1.125}, "timer_granularity time_threshold"},
	{&RecoveryMetricsUpdated{New: Metrics{MinRTT: 1, CongestionWindow: 5}}, "min_rtt congestion_window -bytes_in_flight"},
	{&RecoveryMetricsUpdated{Old: Metrics{BytesInFlight: 1}}, "bytes_in_flight -min_rtt"},
	{&CongestionStateUpdated{New: "recovery"}, "new -old"},
	{&TimerUpdated{Type: TimerPTO, Event: TimerSet, Delta: time.Second}, "timer_type event_type delta"},
	{&TimerUpdated{Type: TimerPTO, Event: TimerExpired}, "event_type -delta"},
	{&PacketLost{Type: Packet1RTT, Number: 3, MTUProbe: true, Trigger: LostByTime}, "header is_mtu_probe_packet trigger"},
	{&MarkedForRetransmit{Frames: []Frame{{Type: FrameCrypto}}}, "frames"},
	{&ECNStateUpdated{Old: ECNTesting, New: ECNCapable}, "old new"},
	{&HTTP3ParametersSet{Initiator: Local}, "initiator max_table_capacity h3_datagram -max_field_section_size"},
	{&HTTP3ParametersRestored{}, "max_table_capacity -initiator"},
	{&HTTP3DatagramCreated{Length: 3}, "quarter_stream_id raw"},
	{&HTTP3DatagramParsed{}, "quarter_stream_id raw"},
	{&HTTP3StreamTypeSet{Type: StreamUnknown, Number: 5}, "stream_id stream_type stream_type_bytes"},
	{&HTTP3StreamTypeSet{Type: StreamControl}, "stream_id stream_type -stream_type_bytes"},
	{&HTTP3PriorityUpdated{New: "u=1, i"}, "stream_id new trigger"},
	{&HTTP3FrameCreated{Frame: HTTP3Frame{Type: HTTP3Data, Length: 4}}, "stream_id frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3Headers, Fields: []HTTP3Field{{"a", "b"}, {"cookie", ""}, {"\xff", "\xfe"}}}}, "stream_id frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3SettingsFrame, Settings: []HTTP3Setting{{1, 2}, {0x21, 3}, {99, 4}}}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3PushPromise, Length: -1}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3CancelPush}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3MaxPushID}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3GoAway, ID: 4}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3PriorityUpdate, ID: 4, Priority: "u=0"}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3PriorityUpdate, Push: true}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3Reserved, Number: 0x21}}, "frame"},
	{&HTTP3FrameParsed{Frame: HTTP3Frame{Type: HTTP3Unknown, Number: 0x99}}, "frame"},
}

// Every event is a JSON object with the members that the drafts require, and without those that would say something untrue.
func TestEvents(t *testing.T) {
	for _, test := range events {
		b := test.event.AppendData([]byte("x"))
		if b[0] != 'x' {
			t.Errorf("%s: overwrites what was there", test.event.Name())
		}
		var members map[string]any
		if err := json.Unmarshal(b[1:], &members); err != nil {
			t.Errorf("%s: %v: %s", test.event.Name(), err, b[1:])
			continue
		}
		for _, k := range strings.Fields(test.want) {
			name, absent := strings.CutPrefix(k, "-")
			if _, there := members[name]; there == absent {
				t.Errorf("%s: member %s: %v: %s", test.event.Name(), name, there, b[1:])
			}
		}
		namespace, name, ok := strings.Cut(test.event.Name(), ":")
		if !ok || namespace != "quic" && namespace != "http3" || name == "" {
			t.Errorf("name %s", test.event.Name())
		}
	}
}

// frames are one of each type and more.
var frames = []struct {
	frame Frame
	want  string
}{
	{Frame{Type: FramePadding, Length: 3}, `{"frame_type":"padding","raw":{"length":3,"payload_length":3}}`},
	{Frame{Type: FramePing}, `{"frame_type":"ping"}`},
	{Frame{Type: FrameAck, Delay: 1500 * time.Microsecond, Ranges: []AckRange{{5, 9}, {1, 1}}},
		`{"frame_type":"ack","ack_delay":1.5,"acked_ranges":[[5,9],[1]]}`},
	{Frame{Type: FrameAck, Ranges: []AckRange{{0, 0}}, ECN: true, ECT0: 1, ECT1: 2, CE: 3},
		`{"frame_type":"ack","ack_delay":0.0,"acked_ranges":[[0]],"ect1":2,"ect0":1,"ce":3}`},
	{Frame{Type: FrameResetStream, StreamID: 4, Code: 0x10c, Value: 9},
		`{"frame_type":"reset_stream","stream_id":4,"error":"http_request_cancelled","error_code":268,"final_size":9}`},
	{Frame{Type: FrameResetStreamAt, StreamID: 4, Code: 7, Value: 9, Second: 5},
		`{"frame_type":"reset_stream_at","stream_id":4,"error":"unknown","error_code":7,"final_size":9,"reliable_size":5}`},
	{Frame{Type: FrameStopSending, StreamID: 4, Code: 7}, `{"frame_type":"stop_sending","stream_id":4,"error":"unknown","error_code":7}`},
	{Frame{Type: FrameCrypto, Offset: 5, Length: 6}, `{"frame_type":"crypto","offset":5,"raw":{"length":6,"payload_length":6}}`},
	{Frame{Type: FrameNewToken, Length: 6}, `{"frame_type":"new_token","token":{"type":"resumption","raw":{"length":6}}}`},
	{Frame{Type: FrameStream, StreamID: 4, Offset: 5, Length: 6, Fin: true},
		`{"frame_type":"stream","stream_id":4,"offset":5,"fin":true,"raw":{"length":6,"payload_length":6}}`},
	{Frame{Type: FrameStream}, `{"frame_type":"stream","stream_id":0,"raw":{"length":0}}`},
	{Frame{Type: FrameMaxData, Value: 5}, `{"frame_type":"max_data","maximum":5}`},
	{Frame{Type: FrameMaxStreamData, StreamID: 4, Value: 5}, `{"frame_type":"max_stream_data","stream_id":4,"maximum":5}`},
	{Frame{Type: FrameMaxStreams, Uni: true, Value: 5}, `{"frame_type":"max_streams","stream_type":"unidirectional","maximum":5}`},
	{Frame{Type: FrameDataBlocked, Value: 5}, `{"frame_type":"data_blocked","limit":5}`},
	{Frame{Type: FrameStreamDataBlocked, StreamID: 4, Value: 5}, `{"frame_type":"stream_data_blocked","stream_id":4,"limit":5}`},
	{Frame{Type: FrameStreamsBlocked, Value: 5}, `{"frame_type":"streams_blocked","stream_type":"bidirectional","limit":5}`},
	{Frame{Type: FrameNewConnectionID, Value: 2, Second: 1, Data: []byte{1, 2, 3, 4}},
		`{"frame_type":"new_connection_id","sequence_number":2,"retire_prior_to":1,"connection_id":"01020304"}`},
	{Frame{Type: FrameRetireConnectionID, Value: 2}, `{"frame_type":"retire_connection_id","sequence_number":2}`},
	{Frame{Type: FramePathChallenge, Data: []byte{1, 2, 3, 4}}, `{"frame_type":"path_challenge","data":"01020304"}`},
	{Frame{Type: FramePathResponse, Data: []byte{1, 2, 3, 4}}, `{"frame_type":"path_response","data":"01020304"}`},
	{Frame{Type: FrameConnectionClose, Code: 0x12a, Trigger: 6, Reason: []byte("why")},
		`{"frame_type":"connection_close","error_space":"transport","error":"crypto_error_0x12a","trigger_frame_type":6,"reason":"why"}`},
	{Frame{Type: FrameConnectionClose, Application: true, Code: 0x100, Reason: []byte{0xff}},
		`{"frame_type":"connection_close","error_space":"application","error":"http_no_error","error_code":256,"reason_bytes":"ff"}`},
	{Frame{Type: FrameHandshakeDone}, `{"frame_type":"handshake_done"}`},
	{Frame{Type: FrameDatagram, Length: 6}, `{"frame_type":"datagram","raw":{"length":6,"payload_length":6}}`},
	{Frame{Type: FrameAckFrequency, Value: 3, Second: 10, Delay: 25 * time.Millisecond, Reordering: 4},
		`{"frame_type":"ack_frequency","sequence_number":3,"ack_eliciting_threshold":10,"requested_max_ack_delay":25.0,"reordering_threshold":4}`},
	{Frame{Type: FrameImmediateAck}, `{"frame_type":"immediate_ack"}`},
	{Frame{Type: FrameUnknown, Code: 66}, `{"frame_type":"unknown","frame_type_bytes":66}`},
}

// Every kind of frame has what the drafts require of it.
func TestFrames(t *testing.T) {
	for _, test := range frames {
		if got := string(test.frame.append(nil)); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// A trace of every event and frame that there is can be read again. Where the environment names a directory, QLOGDIR, it is kept
// there, for the check of CONTRIBUTING.md.
func TestTraceOfEverything(t *testing.T) {
	all := make([]Event, 0, len(events)+2*len(frames))
	for _, e := range events {
		all = append(all, e.event)
	}
	for i, f := range frames {
		header := PacketHeader{Type: Packet1RTT, Numbered: true, Number: uint64(i)}
		all = append(all, &PacketSent{Header: header, Frames: []Frame{f.frame}}, &MarkedForRetransmit{Frames: []Frame{f.frame}})
	}
	var file bytes.Buffer
	trace := NewTrace(&file, Header{Title: "everything", VantagePoint: Client, GroupID: "00"})
	for i, e := range all {
		trace.Event(epoch.Add(time.Duration(i)*time.Microsecond), e)
	}
	trace.Close()
	if dir := os.Getenv("QLOGDIR"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, t.Name()+".sqlog"), file.Bytes(), 0o600); err != nil {
			t.Error(err)
		}
	}
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range all {
		e, err := r.Next()
		if err != nil || e.Name != want.Name() || string(e.Data) != string(want.AppendData(nil)) {
			t.Fatalf("event %d: %s %s, %v; want %s", i, e.Name, e.Data, err, want.Name())
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// Datagrams that went together are told one by one, each with its length and its mark.
func TestDatagrams(t *testing.T) {
	for _, test := range []struct {
		d    Datagrams
		want string
	}{
		{Datagrams{}, `{"count":1,"raw":[{"length":0}],"ecn":["Not-ECT"]}`},
		{Datagrams{Len: 1200, ECN: 1}, `{"count":1,"raw":[{"length":1200}],"ecn":["ECT(1)"]}`},
		{Datagrams{Len: 2400, Segment: 1200, ECN: 2},
			`{"count":2,"raw":[{"length":1200},{"length":1200}],"ecn":["ECT(0)","ECT(0)"]}`},
		{Datagrams{Len: 1201, Segment: 1200, ECN: 3}, `{"count":2,"raw":[{"length":1200},{"length":1}],"ecn":["CE","CE"]}`},
	} {
		if got := string(test.d.append(nil)); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// Texts that peers choose come out as JSON strings that mean the same, invalid UTF-8 replaced.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/", "\x00\x1f\x7f", "\xff", "\u2028é\U0001f426"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendText(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0", 1: "0.000001", time.Microsecond: "0.001", 1500 * time.Microsecond: "1.5", time.Hour: "3600000.0", -time.Millisecond: "-1.0",
		time.Millisecond + 10: "1.00001",
	} {
		if got := string(appendMillis(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
