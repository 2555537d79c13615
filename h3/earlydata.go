package h3

import (
	"slices"

	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// Early data (0-RTT): a client goes by the settings that the server sent on the connection before, which it keeps with the
// session, and a server takes early data only from those who know its settings (RFC 9114, Section 7.2.4.2).

// SessionData returns what a server that takes early data gives to quic.Config.SessionData, so that it takes none from
// clients that know other settings than those of cfg, which may be nil.
func SessionData(cfg *Config) []byte {
	c := cfg.withDefaults()
	c.NoGrease = true
	return appendSettingList(nil, (&Conn{cfg: c, server: true}).localSettings())
}

// reserved reports whether the setting means nothing (RFC 9114, Section 7.2.4.1).
func (id SettingID) reserved() bool { return id >= 0x21 && (id-0x21)%0x1f == 0 }

// rememberSettings keeps the settings of a server with the session.
func (c *Conn) rememberSettings(settings []Setting) {
	kept := make([]Setting, 0, len(settings))
	for _, s := range settings {
		if !s.ID.reserved() {
			kept = append(kept, s)
		}
	}
	c.q.SetSessionData(appendSettingList(nil, kept))
}

// recallSettings makes a client that can send early data go by the settings that it remembers. Of the QPACK table nothing
// can be referred to before it is acknowledged, so that it is left alone until the server's SETTINGS arrive.
func (c *Conn) recallSettings() {
	e := c.q.EarlyData()
	if c.server || e.State != quic.EarlyDataOffered {
		return
	}
	settings, _, reason := parseSettings(e.SessionData)
	if reason != "" {
		return // of another program that shares the cache
	}
	c.peerSettings = settings
	c.remembered = true
	if c.q.Traced() {
		c.q.Trace(&qlog.HTTP3ParametersRestored{Settings: tracedSettings(settings)})
	}
	for _, s := range settings {
		c.applySetting(s)
	}
}

// checkRemembered ends the connection if a server that took early data now says less than what the client went by.
func (c *Conn) checkRemembered(settings []Setting) {
	if !c.remembered || c.q.EarlyData().State != quic.EarlyDataAccepted {
		return
	}
	for _, old := range c.peerSettings {
		now, ok := findSetting(settings, old.ID)
		switch {
		case old.ID == SettingQPACKMaxTableCapacity:
			if now != old.Value && old.Value != 0 {
				c.fail(ErrCode(qpack.DecoderStreamError), "another QPACK table capacity than the one remembered") // RFC 9204, Section 3.2.3
			}
		case old.ID == SettingMaxFieldSectionSize && !ok, c.understands(old.ID) && now < old.Value:
			c.fail(SettingsError, "settings below those remembered, and early data accepted")
		}
	}
}

// understands reports whether the setting means something to this side.
func (c *Conn) understands(id SettingID) bool {
	return id == SettingEnableConnectProtocol ||
		slices.ContainsFunc(c.localSettings(), func(s Setting) bool { return s.ID == id && !id.reserved() })
}

func findSetting(settings []Setting, id SettingID) (uint64, bool) {
	for _, s := range settings {
		if s.ID == id {
			return s.Value, true
		}
	}
	return 0, false
}

// appendSettingList appends the payload of a SETTINGS frame.
func appendSettingList(b []byte, settings []Setting) []byte {
	for _, s := range settings {
		b = wire.AppendVarint(wire.AppendVarint(b, uint64(s.ID)), s.Value)
	}
	return b
}
