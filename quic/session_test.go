package quic

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

func testSession() session {
	s := session{
		version: Version1, issuer: 7, id: TokenID{1, 2, 3}, issued: time.UnixMilli(1234567890123), protocol: "h3",
		params: wire.DefaultTransportParameters(), data: []byte("settings"),
	}
	s.params.InitialMaxData = 1000
	s.params.MaxDatagramFrameSize = 1200
	return s
}

func TestSession(t *testing.T) {
	want := testSession()
	b := want.append(nil)
	got, ok := findSession([][]byte{[]byte("another's"), nil, b})
	// A reserved transport parameter is added to any.
	got.params.Unknown = nil
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for n := range len(b) - len(want.data) {
		if _, ok := findSession([][]byte{b[:n]}); ok {
			t.Errorf("a session of %d bytes is taken for a whole one", n)
		}
	}
}

// RFC 9000, Section 7.4.1 (MUST 2, 3, 4): what belongs to one connection is forgotten, all else is remembered.
// RFC 9000, Section 9.6.2 (MUST 4).
func TestRememberedParameters(t *testing.T) {
	id := wire.NewConnectionID([]byte("12345678"))
	tp := wire.TransportParameters{
		OriginalDCID: id, InitialSCID: id, RetrySCID: id, HasRetrySCID: true, HasResetToken: true,
		Preferred: &wire.PreferredAddress{ID: id}, AckDelayExponent: 7, MaxAckDelay: 70 * time.Millisecond,

		MaxIdleTimeout: time.Second, MaxUDPPayloadSize: 1300, InitialMaxData: 1, InitialMaxStreamDataBidiLocal: 2,
		InitialMaxStreamDataBidiRemote: 3, InitialMaxStreamDataUni: 4, InitialMaxStreamsBidi: 5, InitialMaxStreamsUni: 6,
		DisableActiveMigration: true, ActiveConnectionIDLimit: 7, MaxDatagramFrameSize: 8,
	}
	want := wire.TransportParameters{
		AckDelayExponent: 3, MaxAckDelay: 25 * time.Millisecond, // the defaults

		MaxIdleTimeout: time.Second, MaxUDPPayloadSize: 1300, InitialMaxData: 1, InitialMaxStreamDataBidiLocal: 2,
		InitialMaxStreamDataBidiRemote: 3, InitialMaxStreamDataUni: 4, InitialMaxStreamsBidi: 5, InitialMaxStreamsUni: 6,
		DisableActiveMigration: true, ActiveConnectionIDLimit: 7, MaxDatagramFrameSize: 8,
	}
	if got := remembered(&tp); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	e := newEarlyPair(t, func(cfg [2]*Config) { cfg[Server].IdleTimeout = 3 * time.Second })
	if got := e.pair().conn[Client].idleTimeout; got != 3*time.Second {
		t.Errorf("an idle timeout of %v while early data is offered", got)
	}
}

func FuzzSession(f *testing.F) {
	s := testSession()
	f.Add(s.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := findSession([][]byte{b})
		if !ok {
			return
		}
		again, ok := findSession([][]byte{s.append(nil)})
		s.params.Unknown, again.params.Unknown = nil, nil
		if !ok || s.id != again.id || s.protocol != again.protocol || !bytes.Equal(s.data, again.data) ||
			!reflect.DeepEqual(s.params, again.params) {
			t.Errorf("%+v became %+v", s, again)
		}
	})
}

// RFC 9369, Section 5: tickets and what clients keep of them are bound to a version.
func TestSessionVersion(t *testing.T) {
	base := testConfig(Server).TLS
	base.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	// Tickets that are nothing but the session: crypto/tls makes none outside of a handshake.
	base.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		return &tls.SessionState{Extra: [][]byte{ticket}}, nil
	}
	s := testSession()
	ticket := s.append(nil)
	for v, good := range map[Version]bool{Version1: true, Version2: false} {
		state, err := sessionTLS(base, v, true).UnwrapSession(ticket, tls.ConnectionState{})
		if err != nil || (state != nil) != good {
			t.Errorf("version %v: state %v, %v", v, state, err)
		}
	}
	if state, err := sessionTLS(base, Version1, true).UnwrapSession([]byte("foreign"), tls.ConnectionState{}); state != nil || err != nil {
		t.Errorf("a ticket from TLS over TCP: %v, %v", state, err)
	}

	cached := func(v Version) *tls.ClientSessionState {
		s := testSession()
		s.version = v
		state, err := tls.NewResumptionState([]byte("ticket"), &tls.SessionState{Extra: [][]byte{s.append(nil)}})
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	cache := func(v Version, early bool) tls.ClientSessionCache {
		return sessionTLS(base, v, early).ClientSessionCache
	}
	cache(Version1, false).Put("name", cached(Version1))
	cache(Version1, true).Put("other", cached(Version2)) // the version was switched
	for _, tt := range []struct {
		version Version
		early   bool
		name    string
		found   bool
	}{
		{Version1, false, "name", true}, {Version1, true, "name", false}, {Version2, false, "name", false},
		{Version1, true, "other", false}, {Version2, true, "other", true},
	} {
		got, ok := cache(tt.version, tt.early).Get(tt.name)
		if ok != tt.found {
			t.Errorf("%+v: found %v", tt, ok)
		}
		if again, _ := cache(tt.version, tt.early).Get(tt.name); ok && again == got {
			t.Errorf("%+v: two connections share a session", tt)
		}
	}
}
