package quic

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// session is what both sides keep of a connection in tls.SessionState.Extra, besides what TLS keeps, so that a later one
// can resume it: servers in the ticket, which only they can read, clients beside it in their cache.
//
//	magic (4), version (4), issuer (8), ID (16), issued (8), protocol and parameters, each after its length (2), data
type session struct {
	version  Version
	issuer   uint64 // of the ticket: see Config.issuer
	id       TokenID
	issued   time.Time // by the server's clock
	protocol string    // of the application
	params   wire.TransportParameters
	data     []byte // Config.SessionData, or Conn.SetSessionData
}

const (
	sessionMagic = "Dun\x01"
	fixedSession = len(sessionMagic) + 4 + 8 + 16 + 8
)

// maxSessionData bounds the application's part of a session, so that a ticket fits a few packets.
const maxSessionData = 1024

// append returns the session as an element of SessionState.Extra.
func (s *session) append(b []byte) []byte {
	params := wire.AppendTransportParameters(nil, &s.params, false, 0)
	b = slices.Grow(b, fixedSession+2+len(s.protocol)+2+len(params)+len(s.data))
	b = append(b, sessionMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(s.version))
	b = binary.BigEndian.AppendUint64(b, s.issuer)
	b = append(b, s.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.issued.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.protocol)))
	b = append(b, s.protocol...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(params)))
	b = append(b, params...)
	return append(b, s.data...)
}

// findSession returns what append wrote.
func findSession(extra [][]byte) (s session, ok bool) {
	for _, b := range extra {
		if len(b) < fixedSession || string(b[:len(sessionMagic)]) != sessionMagic {
			continue
		}
		b = b[len(sessionMagic):]
		s.version = Version(binary.BigEndian.Uint32(b))
		s.issuer = binary.BigEndian.Uint64(b[4:])
		s.id = TokenID(b[12:28])
		s.issued = time.UnixMilli(int64(binary.BigEndian.Uint64(b[28:])))
		protocol, b, ok := cutPrefixed(b[36:])
		if !ok {
			continue
		}
		params, b, ok := cutPrefixed(b)
		if !ok {
			continue
		}
		var err error
		if s.params, err = wire.ParseTransportParameters(params, false); err != nil {
			continue
		}
		s.protocol, s.data = string(protocol), b
		return s, true
	}
	return session{}, false
}

// cutPrefixed splits off what follows its length of two bytes.
func cutPrefixed(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n:n], b[n:], true
}

// remembered returns those of a server's transport parameters that hold for 0-RTT on a later connection (RFC 9000, Section
// 7.4.1; RFC 9221, Section 3; draft-ietf-quic-reliable-stream-reset, Section 3).
func remembered(tp *wire.TransportParameters) wire.TransportParameters {
	r := wire.DefaultTransportParameters()
	r.InitialMaxData = tp.InitialMaxData
	r.InitialMaxStreamDataBidiLocal = tp.InitialMaxStreamDataBidiLocal
	r.InitialMaxStreamDataBidiRemote = tp.InitialMaxStreamDataBidiRemote
	r.InitialMaxStreamDataUni = tp.InitialMaxStreamDataUni
	r.InitialMaxStreamsBidi = tp.InitialMaxStreamsBidi
	r.InitialMaxStreamsUni = tp.InitialMaxStreamsUni
	r.ActiveConnectionIDLimit = tp.ActiveConnectionIDLimit
	r.MaxDatagramFrameSize = tp.MaxDatagramFrameSize
	r.ResetStreamAt = tp.ResetStreamAt
	// RFC 9000, Section 7.4.1 (MUST 4): these as well, though a server may change them.
	r.MaxIdleTimeout = tp.MaxIdleTimeout
	r.MaxUDPPayloadSize = tp.MaxUDPPayloadSize
	r.DisableActiveMigration = tp.DisableActiveMigration
	return r
}

// reduces reports whether something is less than what was remembered, which it must not be where 0-RTT is accepted.
func reduces(tp, old *wire.TransportParameters) bool {
	return tp.InitialMaxData < old.InitialMaxData ||
		tp.InitialMaxStreamDataBidiLocal < old.InitialMaxStreamDataBidiLocal ||
		tp.InitialMaxStreamDataBidiRemote < old.InitialMaxStreamDataBidiRemote ||
		tp.InitialMaxStreamDataUni < old.InitialMaxStreamDataUni ||
		tp.InitialMaxStreamsBidi < old.InitialMaxStreamsBidi ||
		tp.InitialMaxStreamsUni < old.InitialMaxStreamsUni ||
		tp.ActiveConnectionIDLimit < old.ActiveConnectionIDLimit ||
		tp.MaxDatagramFrameSize < old.MaxDatagramFrameSize ||
		old.ResetStreamAt && !tp.ResetStreamAt
}

// sessionTLS returns base with hooks that bind sessions to a version of QUIC (RFC 9369, Section 5): a server takes no
// ticket from another version, or from TLS over TCP, and a client offers none. early keeps sessions that are good for
// 0-RTT apart in the client's cache, since whatever TLS finds there it uses.
//
// The keys of tickets stay those of base, so that SetSessionTicketKeys on it goes on working. A config that picks others
// (GetConfigForClient) is left as it is; then a ticket of another version is good for resumption, but not for 0-RTT.
func sessionTLS(base *tls.Config, v Version, early bool) *tls.Config {
	if base.GetConfigForClient != nil {
		return base
	}
	c := base.Clone()
	if base.ClientSessionCache != nil {
		c.ClientSessionCache = versionCache{base.ClientSessionCache, v, early}
	}
	if base.WrapSession == nil {
		c.WrapSession = base.EncryptTicket
	}
	unwrap := base.UnwrapSession
	if unwrap == nil {
		unwrap = base.DecryptTicket
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		state, err := unwrap(ticket, cs)
		if state == nil || err != nil {
			return nil, err
		}
		if s, ok := findSession(state.Extra); !ok || s.version != v {
			return nil, nil
		}
		return state, nil
	}
	return c
}

// sessionConfigs are what sessionTLS has returned, by version. They are made when needed: a client needs one of them at most.
type sessionConfigs struct{ v1, v2 atomic.Pointer[tls.Config] }

// tlsConfig returns the config for TLS of a connection that began with version v: a Demux may let in others than c has.
func (c *Config) tlsConfig(side Side, v Version) *tls.Config {
	if side == Client && c.TLS.ClientSessionCache == nil {
		return c.TLS
	}
	made := &c.sessions.v1
	if v == Version2 {
		made = &c.sessions.v2
	}
	if made.Load() == nil {
		made.CompareAndSwap(nil, sessionTLS(c.TLS, v, c.EarlyData))
	}
	return made.Load()
}

// sessionCache returns a client's cache of sessions for connections that begin with version v, nil if there is none.
func (c *Config) sessionCache(v Version) tls.ClientSessionCache {
	if c.TLS.ClientSessionCache == nil || c.TLS.GetConfigForClient != nil {
		return c.TLS.ClientSessionCache
	}
	return versionCache{c.TLS.ClientSessionCache, v, c.EarlyData}
}

// versionCache is the part of a cache that is for connections that begin with a version.
type versionCache struct {
	all     tls.ClientSessionCache
	version Version
	early   bool
}

func (c versionCache) key(v Version, name string) string {
	if c.early {
		return v.String() + " 0-RTT " + name
	}
	return v.String() + " " + name
}

// Get returns a session that is the caller's own: TLS changes what it decides about it.
func (c versionCache) Get(name string) (*tls.ClientSessionState, bool) {
	cached, ok := c.all.Get(c.key(c.version, name))
	if !ok || cached == nil {
		return nil, false
	}
	ticket, state, err := cached.ResumptionState()
	if err != nil || state == nil {
		return nil, false
	}
	own := *state
	resumed, err := tls.NewResumptionState(ticket, &own)
	return resumed, err == nil
}

// Put keeps a session for connections that begin with the version that the last one ended up with.
func (c versionCache) Put(name string, cached *tls.ClientSessionState) {
	v := c.version
	if cached != nil {
		if _, state, err := cached.ResumptionState(); err == nil && state != nil {
			if s, ok := findSession(state.Extra); ok {
				v = s.version
			}
		}
	}
	c.all.Put(c.key(v, name), cached)
}

// firstVersion returns the version that a client begins with: OriginalVersion, unless it has a session with the server for
// another one. Some caches give a session out once: TLS is to be the first to ask for that of OriginalVersion.
func (c *Config) firstVersion() Version {
	for _, v := range c.Versions {
		if cache := c.sessionCache(v); v != c.OriginalVersion && cache != nil {
			if _, ok := cache.Get(c.TLS.ServerName); ok {
				return v
			}
		}
	}
	return c.OriginalVersion
}

// forgetSession makes a client's next connection begin without the session that this one began with.
func (c *Conn) forgetSession() {
	if cache := c.cfg.sessionCache(c.hs.chosen); cache != nil {
		cache.Put(c.cfg.TLS.ServerName, nil)
	}
}

// sendTicket gives the client a session ticket.
func (c *Conn) sendTicket() *TransportError {
	s := session{
		version: c.version, issuer: c.cfg.issuer, issued: c.epoch.Time(c.now), protocol: c.tlsState.NegotiatedProtocol,
		params: c.cfg.limits(), data: c.cfg.SessionData,
	}
	if c.cfg.EarlyData {
		mustRead(c.cfg.Rand, s.id[:])
	}
	err := c.tls.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: c.cfg.EarlyData, Extra: [][]byte{s.append(nil)}})
	if err != nil {
		return tlsError(err)
	}
	return nil
}

// clientSession is what a client has to put into its cache.
type clientSession struct {
	params wire.TransportParameters // of the server, those to be remembered
	data   []byte
	state  *tls.SessionState // of the last ticket; nil before the first
}

// rememberParameters notes what the server allows, for the sessions that it will offer.
func (c *Conn) rememberParameters(tp *wire.TransportParameters) {
	if c.session == nil {
		c.session = &clientSession{}
	}
	c.session.params = remembered(tp)
}

// storeSession keeps the session that a ticket has brought.
func (c *Conn) storeSession(state *tls.SessionState) *TransportError {
	if c.session == nil {
		return nil // no cache
	}
	state.EarlyData = state.EarlyData && c.cfg.EarlyData
	c.session.state = state
	return c.putSession()
}

func (c *Conn) putSession() *TransportError {
	s := session{version: c.version, issued: c.epoch.Time(c.now), params: c.session.params, data: c.session.data}
	if c.tlsState != nil {
		s.protocol = c.tlsState.NegotiatedProtocol
	}
	// A copy: what is in the cache already may be in use elsewhere.
	state := *c.session.state
	state.Extra = [][]byte{s.append(nil)}
	for _, other := range c.session.state.Extra {
		if !bytes.HasPrefix(other, []byte(sessionMagic)) {
			state.Extra = append(state.Extra, other)
		}
	}
	if err := c.tls.StoreSession(&state); err != nil {
		return tlsError(err)
	}
	return nil
}

// SetSessionData makes a client remember data, which is copied, with the session for its next connection to the server, where
// [Conn.EarlyData] returns it: what the application protocol must know of the server to send early data, such as HTTP/3's
// SETTINGS. At most 1,024 bytes are kept, of longer data none. Servers use Config.SessionData.
func (c *Conn) SetSessionData(data []byte) {
	if c.side == Server || c.err != nil || !c.cfg.EarlyData || len(data) > maxSessionData {
		return
	}
	if c.session == nil {
		c.session = &clientSession{}
	}
	c.session.data = append([]byte(nil), data...)
	if c.session.state != nil && c.tls != nil {
		if err := c.putSession(); err != nil {
			c.fail(err)
		}
	}
}
