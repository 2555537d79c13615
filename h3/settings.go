package h3

import (
	"math"
	"slices"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// SettingID identifies a setting of RFC 9114, Section 7.2.4.
type SettingID uint64

// The settings that this package knows.
const (
	SettingQPACKMaxTableCapacity SettingID = 0x01 // RFC 9204, Section 5
	SettingMaxFieldSectionSize   SettingID = 0x06 // RFC 9114, Section 7.2.4.1
	SettingQPACKBlockedStreams   SettingID = 0x07 // RFC 9204, Section 5
	SettingEnableConnectProtocol SettingID = 0x08 // RFC 9220, Section 3
	SettingH3Datagram            SettingID = 0x33 // RFC 9297, Section 2.1.1
)

// Setting is one parameter of a SETTINGS frame.
type Setting struct {
	ID    SettingID
	Value uint64 // at most 2^62-1
}

// maxSettings is the length in bytes of the longest SETTINGS frame that is accepted.
const maxSettings = 4 << 10

// http2 reports whether the setting is one of HTTP/2's that HTTP/3 has reserved (RFC 9114, Sections 7.2.4.1 and
// 11.2.2).
func (id SettingID) http2() bool { return id == 0 || id >= 0x02 && id <= 0x05 }

// appendSettings appends a SETTINGS frame.
func appendSettings(b []byte, settings []Setting) []byte {
	n := 0
	for _, s := range settings {
		n += wire.VarintLen(uint64(s.ID)) + wire.VarintLen(s.Value)
	}
	return appendSettingList(appendFrameHeader(b, frameSettings, n), settings)
}

// parseSettings parses the payload of a SETTINGS frame.
func parseSettings(b []byte) ([]Setting, ErrCode, string) {
	var room [16]Setting
	settings := room[:0]
	for len(b) > 0 {
		id, n := wire.ParseVarint(b)
		value, m := wire.ParseVarint(b[n:])
		if n == 0 || m == 0 {
			return nil, FrameError, "setting cut short"
		}
		b = b[n+m:]
		s := Setting{SettingID(id), value}
		switch {
		case s.ID.http2():
			return nil, SettingsError, "setting of HTTP/2"
		case (s.ID == SettingEnableConnectProtocol || s.ID == SettingH3Datagram) && value > 1:
			return nil, SettingsError, "setting with a value other than 0 and 1" // RFC 8441, Section 3; RFC 9297, Section 2.1.1
		}
		settings = append(settings, s)
	}
	seen := make(map[SettingID]bool, len(settings))
	for _, s := range settings {
		if seen[s.ID] {
			return nil, SettingsError, "setting twice"
		}
		seen[s.ID] = true
	}
	return slices.Clone(settings), 0, "" // of the right size, for they are kept as long as the connection
}

// localSettings returns what this side sends.
func (c *Conn) localSettings() []Setting {
	settings := []Setting{{SettingMaxFieldSectionSize, uint64(c.cfg.MaxFieldSectionSize)}}
	if c.cfg.QPACKTableCapacity > 0 {
		settings = append(settings, Setting{SettingQPACKMaxTableCapacity, uint64(c.cfg.QPACKTableCapacity)},
			Setting{SettingQPACKBlockedStreams, uint64(c.cfg.QPACKBlockedStreams)})
	}
	if c.cfg.ExtendedConnect && c.server {
		settings = append(settings, Setting{SettingEnableConnectProtocol, 1})
	}
	if !c.cfg.NoDatagrams {
		settings = append(settings, Setting{SettingH3Datagram, 1})
	}
	settings = append(settings, c.cfg.Settings...)
	if !c.cfg.NoGrease {
		settings = append(settings, Setting{SettingID(c.grease.id()), c.grease.next() >> 32})
	}
	return settings
}

// applySettings obeys the peer's settings.
func (c *Conn) applySettings(settings []Setting) {
	c.checkRemembered(settings)
	c.peerSettings = settings
	c.hasPeerSettings = true
	// What was remembered does not count any more.
	c.peerMaxSection, c.peerExtended, c.peerDatagrams = math.MaxUint64, false, false
	if !c.server {
		c.rememberSettings(settings)
	}
	for _, s := range settings {
		switch s.ID {
		case SettingQPACKMaxTableCapacity:
			c.enc.SetPeerCapacity(s.Value)
		case SettingQPACKBlockedStreams:
			c.enc.SetPeerBlockedStreams(s.Value)
		default:
			c.applySetting(s)
		}
	}
}

// applySetting obeys one setting of those that hold in early data, too.
func (c *Conn) applySetting(s Setting) {
	switch s.ID {
	case SettingMaxFieldSectionSize:
		c.peerMaxSection = s.Value
	case SettingEnableConnectProtocol:
		c.peerExtended = s.Value == 1
	case SettingH3Datagram:
		c.peerDatagrams = s.Value == 1
	}
}
