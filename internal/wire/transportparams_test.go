package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func fullParams() TransportParameters {
	return TransportParameters{
		OriginalDCID: cid("original"), InitialSCID: cid("initial"), RetrySCID: cid("retry"), HasRetrySCID: true,
		ResetToken: token16, HasResetToken: true,
		Preferred: &PreferredAddress{
			IPv4: netip.MustParseAddrPort("192.0.2.1:443"), IPv6: netip.MustParseAddrPort("[2001:db8::1]:4433"),
			ID: cid("preferred"), ResetToken: token16,
		},
		MaxIdleTimeout: 30 * time.Second, MaxUDPPayloadSize: 1472, InitialMaxData: 1 << 20,
		InitialMaxStreamDataBidiLocal: 1, InitialMaxStreamDataBidiRemote: 2, InitialMaxStreamDataUni: 3,
		InitialMaxStreamsBidi: 100, InitialMaxStreamsUni: MaxStreams, AckDelayExponent: 20,
		MaxAckDelay:            1<<14*time.Millisecond - time.Millisecond,
		DisableActiveMigration: true, ActiveConnectionIDLimit: 8, MaxDatagramFrameSize: 65535,
		GreaseQUICBit: true, ResetStreamAt: true, HasMinAckDelay: true, MinAckDelay: 1<<14*time.Millisecond - time.Millisecond,
		Versions: VersionInformation{Chosen: Version1, Available: []Version{Version2, ReservedVersion(7), Version1}},
	}
}

func clientParams() TransportParameters {
	p := fullParams()
	p.OriginalDCID, p.RetrySCID, p.HasRetrySCID = ConnectionID{}, ConnectionID{}, false
	p.ResetToken, p.HasResetToken, p.Preferred = [16]byte{}, false, nil
	return p
}

func defaultParams() TransportParameters {
	p := DefaultTransportParameters()
	p.InitialSCID = cid("initial")
	return p
}

// RFC 9000, Section 7.4 (MUST 2) and Section 7.4.2 (MUST 1).
func TestTransportParameters(t *testing.T) {
	only4, only6 := fullParams(), fullParams()
	only4.Preferred.IPv6 = netip.AddrPort{}
	only6.Preferred.IPv4 = netip.AddrPort{}
	emptyIDs := defaultParams()
	emptyIDs.InitialSCID = ConnectionID{}
	removed, leaving := defaultParams(), defaultParams()
	removed.Versions = VersionInformation{Chosen: Version1, Available: []Version{Version2}}
	leaving.Versions = VersionInformation{Chosen: Version1}
	noMinimum := defaultParams()
	noMinimum.HasMinAckDelay = true
	zero := defaultParams()
	zero.AckDelayExponent, zero.MaxAckDelay = 0, 0
	for _, tt := range []struct {
		name   string
		server bool
		p      TransportParameters
	}{
		{"everything", true, fullParams()},
		{"preferred IPv4 address", true, only4},
		{"preferred IPv6 address", true, only6},
		{"everything of a client", false, clientParams()},
		{"defaults of a client", false, defaultParams()},
		{"a min_ack_delay of 0", false, noMinimum},
		{"defaults of a server", true, defaultParams()},
		{"empty connection IDs", true, emptyIDs},
		{"zero where the default is not", false, zero},
		{"a server's chosen version that is being removed", true, removed},
		{"no available version of a server", true, leaving},
	} {
		for random := range uint64(9) {
			random *= 0x0123456789abcdef
			b := AppendTransportParameters(nil, &tt.p, tt.server, random)
			got, err := ParseTransportParameters(b, tt.server)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			// RFC 9000, Section 18.1.
			if len(got.Unknown) != 1 || got.Unknown[0].ID%31 != 27 || len(got.Unknown[0].Value) != int(random&7) {
				t.Errorf("%s: reserved parameters %v", tt.name, got.Unknown)
			}
			got.Unknown = nil
			if !reflect.DeepEqual(got, tt.p) {
				t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.p)
			}
		}
	}
}

// Parameters that a client sets but may not send are not sent.
// RFC 9000, Section 18.2 (MUST 1, 8).
func TestClientSendsNoServerParameters(t *testing.T) {
	p := fullParams()
	got, err := ParseTransportParameters(AppendTransportParameters(nil, &p, false, 0), false)
	got.Unknown = nil
	if err != nil || !reflect.DeepEqual(got, clientParams()) {
		t.Errorf("%+v, %v", got, err)
	}
}

func param(id uint64, v ...byte) []byte {
	b := AppendVarint(nil, id)
	b = AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

func intParam(id, v uint64) []byte { return param(id, AppendVarint(nil, v)...) }

// RFC 9000, Section 4.6 (MUST 1), Section 7.3 (MUST 3), Section 7.4 (MUST 1) and Section 18.2 (MUST 5, 7, 9).
func TestBadTransportParameters(t *testing.T) {
	initial, original := param(0x0f, 'i'), param(0, 'o')
	preferred := func(id string) []byte {
		a := PreferredAddress{IPv4: netip.MustParseAddrPort("192.0.2.1:443")}
		b := a.append(nil)
		b = append(append(b[:24], byte(len(id))), id...)
		return append(b, token16[:]...)
	}
	withoutIDs := append(append(param(0x0d, preferred("x")...), param(0x0f)...), original...)
	if _, err := ParseTransportParameters(withoutIDs, true); err == nil || !strings.Contains(err.Error(), "without connection IDs") {
		t.Errorf("preferred_address of a server without connection IDs: %v", err)
	}
	withIDs := append(append(param(0x0d, preferred("x")...), initial...), original...)
	if _, err := ParseTransportParameters(withIDs, true); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		server bool
		b      []byte
		want   string
	}{
		{"initial_source_connection_id missing at a client", false, nil, "is missing"},
		{"initial_source_connection_id missing at a server", true, original, "is missing"},
		{"original_destination_connection_id missing", true, initial, "is missing"},
		{"client: original_destination_connection_id", false, param(0, 'o'), "only servers"},
		{"client: stateless_reset_token", false, param(2, token16[:]...), "only servers"},
		{"client: preferred_address", false, param(0x0d, preferred("x")...), "only servers"},
		{"client: retry_source_connection_id", false, param(0x10, 'r'), "only servers"},
		{"known parameter twice", false, append(intParam(4, 5), intParam(4, 5)...), "twice"},
		{"empty parameter twice", false, append(param(0x0c), param(0x0c)...), "twice"},
		{"unknown parameter twice", false, append(append(param(27), param(58)...), param(27)...), "twice"},
		{"connection ID of 21 bytes", true, param(0, make([]byte, 21)...), "longer than 20"},
		{"initial_source_connection_id of 21 bytes", false, param(0x0f, make([]byte, 21)...), "longer than 20"},
		{"retry_source_connection_id of 21 bytes", true, param(0x10, make([]byte, 21)...), "longer than 20"},
		{"stateless_reset_token of 15 bytes", true, param(2, token16[1:]...), "16 bytes"},
		{"stateless_reset_token of 17 bytes", true, param(2, append(token16[:], 0)...), "16 bytes"},
		{"max_udp_payload_size of 1199", false, intParam(3, 1199), "below 1200"},
		{"initial_max_streams_bidi above 2^60", false, intParam(8, MaxStreams+1), "2^60"},
		{"initial_max_streams_uni above 2^60", false, intParam(9, MaxStreams+1), "2^60"},
		{"ack_delay_exponent of 21", false, intParam(0x0a, 21), "above 20"},
		{"max_ack_delay of 2^14", false, intParam(0x0b, 1<<14), "2^14"},
		{"grease_quic_bit with a value", false, param(0x2ab2, 1), "has a value"},
		{"grease_quic_bit twice", false, append(param(0x2ab2), param(0x2ab2)...), "twice"},
		{"reset_stream_at with a value", false, param(0x1d, 1), "has a value"},
		{"min_ack_delay of 2^14 ms", false, intParam(0xff04de1b, 1<<14*1000), "2^14"},
		{"min_ack_delay above max_ack_delay", false, intParam(0xff04de1b, 25_001), "above max_ack_delay"},
		{"min_ack_delay twice", false, append(intParam(0xff04de1b, 1), intParam(0xff04de1b, 1)...), "twice"},
		{"disable_active_migration with a value", false, param(0x0c, 1), "has a value"},
		{"active_connection_id_limit of 1", false, intParam(0x0e, 1), "below 2"},
		{"integer with bytes behind", false, param(4, 5, 6), "malformed integer"},
		{"integer cut short", false, param(4, 0x40), "malformed integer"},
		{"integer of no bytes", false, param(4), "malformed integer"},
		{"value cut short", false, []byte{4, 2, 0x40}, "truncated"},
		{"length cut short", false, []byte{4, 0x40}, "truncated"},
		{"length missing", false, []byte{4}, "truncated"},
		{"ID cut short", false, []byte{0x40}, "truncated"},
		{"huge length", false, append([]byte{4}, bytes.Repeat([]byte{0xff}, 20)...), "truncated"},
		{"preferred_address without a connection ID", true, param(0x0d, preferred("")...), "preferred_address"},
		{"preferred_address with an ID of 21 bytes", true, param(0x0d, preferred(strings.Repeat("x", 21))...), "preferred_address"},
		{"preferred_address cut short", true, param(0x0d, preferred("x")[1:]...), "preferred_address"},
		{"preferred_address with bytes behind", true, param(0x0d, append(preferred("x"), 0)...), "preferred_address"},
		{"empty preferred_address", true, param(0x0d), "preferred_address"},
		// RFC 9368, Section 4.
		{"empty version_information", true, param(0x11), "malformed version_information"},
		{"version_information of 3 bytes", true, param(0x11, 0, 0, 1), "malformed version_information"},
		{"version_information of 7 bytes", false, param(0x11, 0, 0, 0, 1, 0, 0, 0), "malformed version_information"},
		{"Chosen Version of zero", true, param(0x11, 0, 0, 0, 0), "malformed version_information"},
		{"Available Version of zero", false, param(0x11, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0), "malformed version_information"},
		{"client: Chosen Version not available", false, param(0x11, 0, 0, 0, 1, 0, 0, 0, 2), "not available"},
		{"client: no version available", false, param(0x11, 0, 0, 0, 1), "not available"},
		{"version_information twice", true, append(param(0x11, 0, 0, 0, 1), param(0x11, 0, 0, 0, 1)...), "twice"},
	} {
		b := tt.b
		// What is not under test is in order.
		if !strings.Contains(tt.want, "missing") {
			for _, p := range [][]byte{initial, original} {
				isOriginal := p[0] == original[0]
				if (tt.server || !isOriginal) && tt.b[0] != p[0] {
					b = append(bytes.Clone(p), b...)
				}
			}
		}
		_, err := ParseTransportParameters(b, tt.server)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// An idle timeout that no Duration holds is as good as the longest one.
func TestLongIdleTimeout(t *testing.T) {
	p, err := ParseTransportParameters(append(param(0x0f), intParam(1, MaxVarint)...), false)
	if err != nil || p.MaxIdleTimeout < 200*365*24*time.Hour {
		t.Errorf("%v, %v", p.MaxIdleTimeout, err)
	}
}

// What a peer makes up costs no more than it takes on the wire: many unknown parameters are read fast, few are kept.
// RFC 9000, Section 7.4.2 (MUST 1).
func TestManyUnknownParameters(t *testing.T) {
	b := param(0x0f, 'i')
	for i := range uint64(20_000) {
		b = append(b, param(1000+i)...)
	}
	p, err := ParseTransportParameters(b, false)
	if err != nil || len(p.Unknown) != maxUnknownParams {
		t.Errorf("%d kept, %v", len(p.Unknown), err)
	}
	if _, err := ParseTransportParameters(append(b, param(1500)...), false); err == nil {
		t.Error("one of them came twice")
	}
}

func FuzzTransportParameters(f *testing.F) {
	full, client := fullParams(), clientParams()
	f.Add(true, AppendTransportParameters(nil, &full, true, 0x123456789))
	f.Add(false, AppendTransportParameters(nil, &client, false, 0x987654321))
	f.Fuzz(func(t *testing.T, server bool, b []byte) {
		p, err := ParseTransportParameters(b, server)
		if err != nil {
			return
		}
		random := binary.BigEndian.Uint64(append(make([]byte, 8), b...)[len(b):])
		got, err := ParseTransportParameters(AppendTransportParameters(nil, &p, server, random), server)
		if err != nil {
			t.Fatal(err)
		}
		p.Unknown, got.Unknown = nil, nil
		if !reflect.DeepEqual(p, got) {
			t.Fatalf("%+v came back as %+v", p, got)
		}
	})
}
