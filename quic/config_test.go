package quic

import (
	"crypto/tls"
	"math"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	c, err := testConfig(Server).Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if c.IdleTimeout != 30*time.Second || c.HandshakeTimeout != 10*time.Second || c.KeepAlive != 0 || c.MaxPacketSize != 1452 ||
		c.MaxBidiStreams != 100 || c.MaxUniStreams != 100 || c.ConnWindow != 768<<10 || c.MaxConnWindow != 24<<20 ||
		c.StreamWindow != 512<<10 || c.MaxStreamWindow != 16<<20 || c.MaxDatagramFrame != 65535 || c.ConnectionIDs.Len() != 8 {
		t.Errorf("%+v", c)
	}
	if again, err := c.Resolve(); again != c || err != nil {
		t.Error("a resolved config is copied again")
	}
}

func TestConfigNone(t *testing.T) {
	none := testConfig(Server)
	none.IdleTimeout, none.HandshakeTimeout, none.KeepAlive = -1, -1, -1
	none.MaxBidiStreams, none.MaxUniStreams, none.MaxDatagramFrame, none.MaxPacketSize = -1, -1, -1, -1
	c, err := none.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if c.IdleTimeout != 0 || c.HandshakeTimeout != 0 || c.KeepAlive != 0 || c.MaxBidiStreams != 0 || c.MaxUniStreams != 0 ||
		c.MaxDatagramFrame != 0 || c.MaxPacketSize != 1200 {
		t.Errorf("%+v", c)
	}
	if none.IdleTimeout != -1 {
		t.Error("the caller's config was changed")
	}
}

// The longest durations are those that anybody would take for none.
func TestConfigForever(t *testing.T) {
	p := newTestPair(t, func(p *testPair) {
		for _, c := range p.cfg {
			c.HandshakeTimeout, c.KeepAlive = math.MaxInt64, math.MaxInt64
		}
		p.cfg[Client].IdleTimeout, p.cfg[Server].IdleTimeout = math.MaxInt64, -1
	})
	p.establish()
	p.transfer(Client, 1000)
}

// RFC 9001, Section 4.2 (MUST 1, 2).
func TestConfigTLSVersion(t *testing.T) {
	cfg := testConfig(Client)
	cfg.TLS.MinVersion = 0
	c, err := cfg.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.MinVersion != tls.VersionTLS13 || cfg.TLS.MinVersion != 0 {
		t.Errorf("MinVersion %x, the caller's %x", c.TLS.MinVersion, cfg.TLS.MinVersion)
	}
	cfg.TLS.MinVersion = tls.VersionTLS13
	if c, err = cfg.Resolve(); err != nil || c.TLS != cfg.TLS {
		t.Errorf("a TLS config that will do is copied: it would miss SetSessionTicketKeys (%v)", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no TLS":             func(c *Config) { c.TLS = nil },
		"no protocols":       func(c *Config) { c.TLS.NextProtos = nil },
		"congestion control": func(c *Config) { c.CongestionControl = 99 },
		"connection IDs":     func(c *Config) { c.ConnectionIDs = newRandomCIDs(21, nil) },
	} {
		c := testConfig(Client)
		change(c)
		if _, err := NewClient(time.Now(), c, testPaths[Client]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewClient(time.Now(), nil, testPaths[Client]); err == nil {
		t.Error("no config: no error")
	}
	c := testConfig(Client)
	c.TLS.ServerName = ""
	if _, err := NewClient(time.Now(), c, testPaths[Client]); err == nil {
		t.Error("no server name: no error")
	}
}

// Sessions are resumed with the tickets that servers send, as long as the config is the same.
func TestResumption(t *testing.T) {
	cc := testConfig(Client)
	cc.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	cc, err := cc.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	sc, err := testConfig(Server).Resolve()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		p := newTestPair(t, func(p *testPair) {
			p.cfg = [2]*Config{cc, sc}
			p.now = time.Now() // the age of tickets is measured by tls.Config.Time
		})
		p.establish()
		p.idle(time.Second)
		for side, c := range p.conn {
			if got := c.ConnectionState().DidResume; got != (i > 0) {
				t.Errorf("connection %d, %v: resumed %v", i, Side(side), got)
			}
		}
		if p.conn[Server].tls != nil {
			t.Error("the server keeps TLS after the handshake")
		}
		p.transfer(Client, 1000)
	}
}
