package quic

import (
	"crypto/tls"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/qlog"
)

// The first byte of a fuzzed pair's script.
const (
	fuzzEmptyIDs   = 1 << iota // of the client; the next bit is the server's
	_              = 1 << iota
	fuzzNewReno    = 1 << iota // of the client; the next bit is the server's
	_              = 1 << iota
	fuzzRetry      = 1 << iota
	fuzzBBR        = 1 << iota // where it is not NewReno; and a client that would rather speak version 2
	fuzzServerV2   = 1 << iota // a server that speaks version 2 alone
	fuzzOriginalV2 = 1 << iota
)

// The second byte.
const (
	fuzzEarlyData   = 1 << iota
	fuzzTracers     = 1 << iota
	fuzzPreferred   = 1 << iota
	fuzzNoQUICBit   = 1 << iota // of the client; the next bit is the server's
	_               = 1 << iota
	fuzzNoMigration = 1 << iota // disable_active_migration of both
	fuzzKeepAlive   = 1 << iota // of the client, who does not pace either
	fuzzLargePaths  = 1 << iota // datagrams of up to 9,000 bytes
)

func newFuzzPair(t *testing.T, script []byte) *fuzzPair {
	p := &fuzzPair{script: script, came: map[netip.AddrPort]int{}, went: map[netip.AddrPort]int{}, proved: map[netip.AddrPort]bool{}}
	first, second := p.script.byte(), p.script.byte()
	p.testPair = newTestPair(t, func(tp *testPair) {
		for side, c := range tp.cfg {
			fuzzLimits(c)
			if first&(fuzzEmptyIDs<<side) != 0 {
				c.ConnectionIDs = newRandomCIDs(0, nil)
			}
			if first&(fuzzNewReno<<side) != 0 {
				c.CongestionControl = NewReno
			} else if first&fuzzBBR != 0 {
				c.CongestionControl = BBR
			}
			if second&fuzzTracers != 0 {
				c.NewTracer = func(side Side, odcid ConnectionID) qlog.Tracer {
					return qlog.NewTrace(io.Discard, qlog.Header{VantagePoint: qlog.VantagePoint(side.String()), GroupID: odcid.String()})
				}
			}
			c.NoQUICBitGrease = second&(fuzzNoQUICBit<<side) != 0
			c.AckFrequency = !c.NoQUICBitGrease
			c.DisableActiveMigration = second&fuzzNoMigration != 0
			if second&fuzzLargePaths != 0 {
				c.MaxPacketSize = 9000
			}
		}
		client, server := tp.cfg[Client], tp.cfg[Server]
		if first&fuzzRetry != 0 {
			tp.demux.Retry = RetryAlways
		}
		if first&fuzzBBR != 0 {
			client.Versions = []Version{Version2, Version1}
		}
		if first&fuzzServerV2 != 0 {
			server.Versions, tp.demux.Versions = []Version{Version2}, []Version{Version2}
		}
		if first&fuzzOriginalV2 != 0 {
			client.OriginalVersion = Version2
		}
		if second&fuzzPreferred != 0 && first&(fuzzEmptyIDs<<Server) == 0 {
			server.PreferredAddress = PreferredAddress{IPv4: preferredAddr}
		}
		if second&fuzzKeepAlive != 0 {
			client.KeepAlive, client.NoPacing = time.Second, true
		}
		if second&fuzzEarlyData != 0 {
			fuzzResume(t, tp)
		}
	})
	for i := range p.sides {
		p.sides[i].ids = map[ConnectionID]bool{}
		p.sides[i].tokens = map[StatelessResetToken]netip.AddrPort{}
	}
	return p
}

// fuzzLimits makes the limits of a side low, so that they are reached.
func fuzzLimits(c *Config) {
	c.StreamWindow, c.ConnWindow, c.MaxStreamWindow, c.MaxConnWindow = 16<<10, 32<<10, 64<<10, 96<<10
	c.MaxBidiStreams, c.MaxUniStreams = 8, 8
}

// fuzzSession is a session that is good for early data, of one handshake for all scripts.
var fuzzSession struct {
	sync.Once
	fuzzSessions
}

// fuzzResume turns on early data, for a client that has a session.
func fuzzResume(t *testing.T, p *testPair) {
	fuzzSession.Do(func() {
		q := newTestPair(t, func(q *testPair) {
			q.cfg[Client].TLS.ClientSessionCache = &fuzzSession.fuzzSessions
			fuzzEarly(q)
			for _, c := range q.cfg {
				fuzzLimits(c)
			}
		})
		q.run("a ticket", func() bool { return fuzzSession.session != nil })
	})
	sessions := fuzzSession.fuzzSessions
	p.cfg[Client].TLS.ClientSessionCache = &sessions
	fuzzEarly(p)
}

func fuzzEarly(p *testPair) {
	for _, c := range p.cfg {
		c.EarlyData = true
		c.EarlyDataStore = NewTokenStore(64)
		c.TLS.Time = func() time.Time { return p.now }
	}
	p.cfg[Server].TLS.SetSessionTicketKeys([][32]byte{{1}})
}

// fuzzSessions is a cache of one session.
type fuzzSessions struct {
	key     string
	session *tls.ClientSessionState
}

func (s *fuzzSessions) Get(key string) (*tls.ClientSessionState, bool) {
	if s.session == nil || key != s.key {
		return nil, false
	}
	return s.session, true
}

func (s *fuzzSessions) Put(key string, session *tls.ClientSessionState) {
	s.key, s.session = key, session
}

// fuzzLoan is memory lent by a script.
type fuzzLoan struct {
	taken    bool
	released *int
}

func (l fuzzLoan) Release() { *l.released++ }

// check checks, at the end, that the memory came back, once.
func (l fuzzLoan) check(t *testing.T) {
	want := 0
	if l.taken {
		want = 1
	}
	if *l.released != want {
		t.Errorf("memory was given back %d times, want %d", *l.released, want)
	}
}

// lend has st borrow b.
func (p *fuzzPair) lend(st *Stream, b []byte, fin bool) {
	l := fuzzLoan{released: new(int)}
	n, _ := st.TryLend(b, fin, l)
	l.taken = n > 0
	p.loans = append(p.loans, l)
}
