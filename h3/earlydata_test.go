package h3

import (
	"bytes"
	"crypto/tls"
	"io"
	"slices"
	"testing"

	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/quic"
)

// earlyPairs makes connections of a client that keeps its sessions to a server that takes early data.
type earlyPairs struct {
	t     *testing.T
	cache tls.ClientSessionCache
	store quic.TokenStore
}

func newEarlyPairs(t *testing.T) *earlyPairs {
	return &earlyPairs{t, tls.NewLRUClientSessionCache(4), quic.NewTokenStore(64)}
}

// pair makes a connection to a server with the given settings. sessionData is what it takes for them.
func (e *earlyPairs) pair(server *Config, sessionData []byte, o pairOptions) *pair {
	e.t.Helper()
	o.cfg[quic.Server] = server
	change := o.quic
	o.quic = func(side quic.Side, cfg *quic.Config) {
		cfg.EarlyData = true
		if side == quic.Client {
			cfg.TLS.ClientSessionCache = e.cache
		} else {
			cfg.TLS.SetSessionTicketKeys([][32]byte{{1}})
			cfg.EarlyDataStore, cfg.SessionData = e.store, sessionData
		}
		if change != nil {
			change(side, cfg)
		}
	}
	return newPair(e.t, o)
}

// answer answers the request that a pair's client sent.
func (p *pair) answer(c *Stream) {
	p.t.Helper()
	s := p.one(quic.Server, EventHeaders).Stream
	if err := s.SendHeaders(okResponse, true); err != nil {
		p.t.Fatal(err)
	}
	p.run()
	if ev := p.one(quic.Client, EventHeaders); ev.Stream != c || !ev.Fin {
		p.t.Errorf("%+v", ev)
	}
}

// A client sends a request with its first flight, going by the settings that it remembers, and the server answers
// before the handshake is complete.
func TestEarlyData(t *testing.T) {
	e := newEarlyPairs(t)
	cfg := &Config{MaxFieldSectionSize: 1000}
	first := e.pair(cfg, SessionData(cfg), pairOptions{})
	want, _ := first.h[quic.Client].PeerSettings()

	var c *Stream
	answered := false
	p := e.pair(cfg, SessionData(cfg), pairOptions{begin: func(p *pair) {
		h := p.h[quic.Client]
		settings, arrived := h.PeerSettings()
		if arrived || len(settings) != len(want)-1 { // all but the reserved one
			t.Errorf("remembered %v, %v of %v", settings, arrived, want)
		}
		s, err := h.OpenRequest()
		if err != nil {
			t.Fatal(err)
		}
		large := fields("x", string(bytes.Repeat([]byte{'x'}, 1000)))
		if err := s.SendHeaders(slices.Concat(getRequest, large), true); err != ErrFieldSectionTooLarge {
			t.Errorf("beyond the limit remembered: %v", err)
		}
		s.Reset(RequestCancelled)
		c = p.request(getRequest, true)
		p.onEvent = func(side quic.Side, ev Event) {
			if side == quic.Server && ev.Kind == EventHeaders {
				answered = true
				if p.q[quic.Server].Established() {
					t.Error("the handshake was complete")
				}
				if err := ev.Stream.SendHeaders(okResponse, true); err != nil {
					t.Error(err)
				}
			}
		}
	}})
	if !answered {
		t.Error("no request in early data")
	}
	if ev := p.one(quic.Client, EventHeaders); ev.Stream != c {
		t.Errorf("%+v", ev)
	}
	if got := p.q[quic.Client].EarlyData().State; got != quic.EarlyDataAccepted {
		t.Error(got)
	}
	if _, err := readAll(c); err != io.EOF {
		t.Error(err)
	}
	if settings, ok := p.h[quic.Client].PeerSettings(); !ok || len(settings) != len(want) {
		t.Errorf("%v, %v", settings, ok)
	}
	// From here on it is as any other connection.
	p.events = [2][]Event{}
	p.onEvent = nil
	for range 3 {
		c := p.request(getRequest, true)
		p.run()
		p.answer(c)
	}
}

// A server whose settings have changed takes no early data, and gets it again.
func TestEarlyDataSettingsChanged(t *testing.T) {
	e := newEarlyPairs(t)
	cfg := &Config{MaxFieldSectionSize: 5000, ExtendedConnect: true}
	e.pair(cfg, SessionData(cfg), pairOptions{})
	other := &Config{MaxFieldSectionSize: 4000, QPACKTableCapacity: -1, NoDatagrams: true}
	var c *Stream
	p := e.pair(other, SessionData(other), pairOptions{begin: func(p *pair) {
		if h := p.h[quic.Client]; h.peerMaxSection != 5000 || !h.peerDatagrams || !h.peerExtended {
			t.Errorf("remembered: %d, datagrams %v, extended CONNECT %v", h.peerMaxSection, h.peerDatagrams, h.peerExtended)
		}
		c = p.request(getRequest, true)
	}})
	if got := p.q[quic.Client].EarlyData().State; got != quic.EarlyDataRejected {
		t.Error(got)
	}
	p.answer(c)
	if h := p.h[quic.Client]; h.peerMaxSection != 4000 || h.peerDatagrams || h.peerExtended {
		t.Errorf("now: %d, datagrams %v, extended CONNECT %v", h.peerMaxSection, h.peerDatagrams, h.peerExtended)
	}
}

// RFC 9114, Section 7.2.4.2; RFC 9204, Section 3.2.3: a server that took early data must not say less than before.
func TestEarlyDataSettingsReduced(t *testing.T) {
	before := &Config{MaxFieldSectionSize: 5000, QPACKTableCapacity: 1000, QPACKBlockedStreams: 5, NoGrease: true, ExtendedConnect: true}
	settings := func(list ...Setting) []byte {
		list = append(list, Setting{SettingEnableConnectProtocol, 1}, Setting{SettingH3Datagram, 1})
		return appendSettings([]byte{byte(streamControl)}, list)
	}
	const section, table, blocked = SettingMaxFieldSectionSize, SettingQPACKMaxTableCapacity, SettingQPACKBlockedStreams
	for _, tt := range []struct {
		name string
		now  []byte
		code ErrCode
	}{
		{"the same", settings(Setting{section, 5000}, Setting{table, 1000}, Setting{blocked, 5}), 0},
		{"more", settings(Setting{section, 6000}, Setting{table, 1000}, Setting{blocked, 6}, Setting{0x4000, 1}), 0},
		{"smaller sections", settings(Setting{section, 4999}, Setting{table, 1000}, Setting{blocked, 5}), SettingsError},
		{"no limit of sections", settings(Setting{table, 1000}, Setting{blocked, 5}), SettingsError},
		{"a smaller table", settings(Setting{section, 5000}, Setting{table, 999}, Setting{blocked, 5}), ErrCode(qpack.DecoderStreamError)},
		{"a larger table", settings(Setting{section, 5000}, Setting{table, 1001}, Setting{blocked, 5}), ErrCode(qpack.DecoderStreamError)},
		{"no table", settings(Setting{section, 5000}, Setting{blocked, 5}), ErrCode(qpack.DecoderStreamError)},
		{"fewer blocked streams", settings(Setting{section, 5000}, Setting{table, 1000}, Setting{blocked, 4}), SettingsError},
		{"no blocked streams", settings(Setting{section, 5000}, Setting{table, 1000}), SettingsError},
		{"no datagrams", appendSettings([]byte{0}, []Setting{{section, 5000}, {table, 1000}, {blocked, 5}, {8, 1}}), SettingsError},
		{"no extended CONNECT", appendSettings([]byte{0}, []Setting{{section, 5000}, {table, 1000}, {blocked, 5}, {8, 0}, {0x33, 1}}), SettingsError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEarlyPairs(t)
			e.pair(before, nil, pairOptions{})
			p := e.pair(nil, nil, pairOptions{
				raw: [2]bool{quic.Server: true}, begin: func(p *pair) { p.request(getRequest, true) },
			})
			if got := p.q[quic.Client].EarlyData().State; got != quic.EarlyDataAccepted {
				t.Fatal(got)
			}
			p.open(quic.Server, quic.Uni, tt.now, false)
			p.run()
			if got := p.connCode(quic.Server); got != tt.code {
				t.Errorf("closed with %v, want %v", got, tt.code)
			}
		})
	}
}

// What a session of another program holds instead of settings is not believed.
func TestEarlyDataForeignSession(t *testing.T) {
	e := newEarlyPairs(t)
	p := e.pair(nil, nil, pairOptions{})
	p.q[quic.Client].SetSessionData([]byte{0x06})
	var c *Stream
	p = e.pair(nil, nil, pairOptions{begin: func(p *pair) {
		if settings, _ := p.h[quic.Client].PeerSettings(); settings != nil {
			t.Errorf("remembered %v", settings)
		}
		c = p.request(getRequest, true)
	}})
	p.answer(c)
}

// Where QUIC can't send early data again, since the server allows less now, a new Conn goes on with the connection.
func TestEarlyDataLost(t *testing.T) {
	e := newEarlyPairs(t)
	e.pair(nil, nil, pairOptions{})
	var early []*Stream
	p := e.pair(nil, nil, pairOptions{
		quic: func(side quic.Side, cfg *quic.Config) {
			if side == quic.Server {
				cfg.MaxBidiStreams = 1
			}
		},
		begin: func(p *pair) {
			for range 2 {
				early = append(early, p.request(getRequest, true))
			}
		},
	})
	if ev := p.one(quic.Client, EventClosed); ev.Err != quic.ErrEarlyDataRejected {
		t.Errorf("%v", ev.Err)
	}
	if err := early[0].SendTrailers(nil); err != quic.ErrEarlyDataRejected {
		t.Errorf("what began in early data: %v", err)
	}
	if n := len(p.take(quic.Server, EventHeaders)); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
	p.h[quic.Client] = NewConn(p.q[quic.Client], nil)
	c := p.request(getRequest, true)
	p.run()
	p.answer(c)
}
