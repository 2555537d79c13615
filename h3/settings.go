package h3

// SettingID identifies a setting of RFC 9114, Section 7.2.4.
type SettingID uint64

// The settings that this package knows.
const (
	SettingQPACKMaxTableCapacity SettingID = 0x01 // RFC 9204, Section 5
	SettingMaxFieldSectionSize   SettingID = 0x06 // RFC 9114, Section 7.2.4.1
	SettingQPACKBlockedStreams   SettingID = 0x07 // RFC 9204, Section 5
)

// Setting is one parameter of a SETTINGS frame.
type Setting struct {
	ID    SettingID
	Value uint64 // at most 2^62-1
}
