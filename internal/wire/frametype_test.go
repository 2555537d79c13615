package wire

import (
	"strings"
	"testing"
)

// RFC 9000, Table 3, with what Section 12.5 says about 0-RTT; RFC 9221, Section 4.
// RFC 9000, Section 12.4 (MUST 3), Section 12.5 (MUST 2) and Section 17.2.4 (MUST 1).
// RFC 9000, Section 19.21 (MUST 2).
func TestFrameTypes(t *testing.T) {
	const (
		eliciting = "E"
		probing   = "P"
	)
	for _, tt := range []struct {
		types []FrameType
		name  string
		pkts  string // I: Initial, H: Handshake, 0, 1
		spec  string
	}{
		{[]FrameType{0x00}, "PADDING", "IH01", "P"},
		{[]FrameType{0x01}, "PING", "IH01", "E"},
		{[]FrameType{0x02}, "ACK", "IH1", ""},
		{[]FrameType{0x03}, "ACK_ECN", "IH1", ""},
		{[]FrameType{0x04}, "RESET_STREAM", "01", "E"},
		{[]FrameType{0x05}, "STOP_SENDING", "01", "E"},
		{[]FrameType{0x06}, "CRYPTO", "IH1", "E"},
		{[]FrameType{0x07}, "NEW_TOKEN", "1", "E"},
		{[]FrameType{0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f}, "STREAM", "01", "E"},
		{[]FrameType{0x10}, "MAX_DATA", "01", "E"},
		{[]FrameType{0x11}, "MAX_STREAM_DATA", "01", "E"},
		{[]FrameType{0x12, 0x13}, "MAX_STREAMS", "01", "E"},
		{[]FrameType{0x14}, "DATA_BLOCKED", "01", "E"},
		{[]FrameType{0x15}, "STREAM_DATA_BLOCKED", "01", "E"},
		{[]FrameType{0x16, 0x17}, "STREAMS_BLOCKED", "01", "E"},
		{[]FrameType{0x18}, "NEW_CONNECTION_ID", "01", "EP"},
		{[]FrameType{0x19}, "RETIRE_CONNECTION_ID", "1", "E"},
		{[]FrameType{0x1a}, "PATH_CHALLENGE", "01", "EP"},
		{[]FrameType{0x1b}, "PATH_RESPONSE", "1", "EP"},
		{[]FrameType{0x1c}, "CONNECTION_CLOSE", "IH01", ""},
		{[]FrameType{0x1d}, "CONNECTION_CLOSE", "01", ""},
		{[]FrameType{0x1e}, "HANDSHAKE_DONE", "1", "E"},
		{[]FrameType{0x1f}, "IMMEDIATE_ACK", "1", "E"},
		{[]FrameType{0xaf}, "ACK_FREQUENCY", "1", "E"},
		{[]FrameType{0x24}, "RESET_STREAM_AT", "01", "E"},
		{[]FrameType{0x30, 0x31}, "DATAGRAM", "01", "E"},
	} {
		for _, typ := range tt.types {
			if typ.String() != tt.name || !typ.Known() {
				t.Errorf("%#x: name %q, known %v", uint64(typ), typ, typ.Known())
			}
			for p, c := range map[PacketType]string{
				Initial: "I", Handshake: "H", ZeroRTT: "0", OneRTT: "1", Retry: "R", VersionNegotiation: "V",
			} {
				if got, want := typ.AllowedIn(p), strings.Contains(tt.pkts, c); got != want {
					t.Errorf("%v (%#x) allowed in %v: %v", typ, uint64(typ), p, got)
				}
			}
			if got := typ.AckEliciting(); got != strings.Contains(tt.spec, eliciting) {
				t.Errorf("%v ack-eliciting: %v", typ, got)
			}
			if got := typ.Probing(); got != strings.Contains(tt.spec, probing) {
				t.Errorf("%v probing: %v", typ, got)
			}
			if got := typ.IsStream(); got != (tt.name == "STREAM") {
				t.Errorf("%v is STREAM: %v", typ, got)
			}
		}
	}
	for _, typ := range []FrameType{0x20, 0x23, 0x25, 0x2f, 0x32, 0x40, 0xae, 0xb0, 1 << 40, MaxVarint} {
		if typ.Known() || typ.AllowedIn(OneRTT) {
			t.Errorf("%v is known", typ)
		}
	}
}

// RFC 9000, Section 12.4 (MUST 5).
func TestParseFrameType(t *testing.T) {
	for _, tt := range []struct {
		b       []byte
		typ     FrameType
		n       int
		minimal bool
	}{
		{[]byte{0x1e}, FrameHandshakeDone, 1, true},
		{[]byte{0x40, 0x1e}, FrameHandshakeDone, 2, false},
		{[]byte{0x80, 0, 0, 0x01}, FramePing, 4, false},
		{[]byte{0x40, 0x52}, 0x52, 2, true},
		{[]byte{0x40, 0xaf}, FrameAckFrequency, 2, true},
		{[]byte{0x80, 0, 0, 0xaf}, FrameAckFrequency, 4, false},
		{[]byte{0x40}, 0, 0, false},
		{nil, 0, 0, false},
	} {
		typ, n, minimal := ParseFrameType(tt.b)
		if len(tt.b) > 0 && (PeekFrameType(tt.b) == typ) != (minimal && typ.Known()) {
			t.Errorf("PeekFrameType(%x) = %v", tt.b, PeekFrameType(tt.b))
		}
		if typ != tt.typ || n != tt.n || minimal != tt.minimal {
			t.Errorf("ParseFrameType(%x) = %v, %d, %v", tt.b, typ, n, minimal)
		}
	}
}
