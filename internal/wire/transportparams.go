package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// TransportParameters are what an endpoint says about itself in the TLS handshake (RFC 9000, Section 18.2; RFC 9221,
// Section 3). Start from [DefaultTransportParameters]: the fields hold what is in force, not zero for the default.
type TransportParameters struct {
	// OriginalDCID, RetrySCID, PreferredAddress and ResetToken are sent by servers only. RetrySCID is sent if and
	// only if the server sent a Retry, OriginalDCID by every server, InitialSCID by both sides.
	OriginalDCID  ConnectionID
	InitialSCID   ConnectionID
	RetrySCID     ConnectionID
	HasRetrySCID  bool
	ResetToken    [ResetTokenLen]byte
	HasResetToken bool
	Preferred     *PreferredAddress

	MaxIdleTimeout                 time.Duration // whole milliseconds; 0 means none
	MaxUDPPayloadSize              uint64        // bytes, at least 1,200
	InitialMaxData                 uint64        // bytes
	InitialMaxStreamDataBidiLocal  uint64        // bytes, streams that the sender of the parameters opens
	InitialMaxStreamDataBidiRemote uint64        // bytes, streams that the receiver of the parameters opens
	InitialMaxStreamDataUni        uint64        // bytes
	InitialMaxStreamsBidi          uint64        // at most MaxStreams
	InitialMaxStreamsUni           uint64        // at most MaxStreams
	AckDelayExponent               uint8         // at most 20
	MaxAckDelay                    time.Duration // whole milliseconds, below 2^14
	DisableActiveMigration         bool
	ActiveConnectionIDLimit        uint64 // at least 2
	MaxDatagramFrameSize           uint64 // bytes of a DATAGRAM frame, its type and length included; 0 means none

	GreaseQUICBit bool // the sender accepts packets without the QUIC bit (RFC 9287, Section 3)
	ResetStreamAt bool // it takes RESET_STREAM_AT frames (draft-ietf-quic-reliable-stream-reset, Section 3)
	// HasMinAckDelay says that it takes ACK_FREQUENCY and IMMEDIATE_ACK frames (draft-ietf-quic-ack-frequency, Section 3).
	HasMinAckDelay bool
	MinAckDelay    time.Duration // whole microseconds, at most MaxAckDelay

	// Versions is version_information (RFC 9368, Section 3). It is sent if and only if its Chosen is not zero.
	Versions VersionInformation

	// Unknown are the peer's parameters that this package does not know, at most 16 of them, in the order sent. They
	// are not sent by AppendTransportParameters.
	Unknown []UnknownParameter
}

// UnknownParameter is a transport parameter that is not known here. Value is a copy.
type UnknownParameter struct {
	ID    uint64
	Value []byte
}

// PreferredAddress is where a server would rather be talked to (RFC 9000, Section 9.6). An address family that is not
// offered has an invalid AddrPort.
type PreferredAddress struct {
	IPv4, IPv6 netip.AddrPort
	ID         ConnectionID // 1 to 20 bytes; its sequence number is 1
	ResetToken [ResetTokenLen]byte
}

// DefaultTransportParameters returns what holds for an endpoint that sends no parameter (RFC 9000, Section 18.2).
func DefaultTransportParameters() TransportParameters {
	return TransportParameters{
		MaxUDPPayloadSize:       65527,
		AckDelayExponent:        3,
		MaxAckDelay:             25 * time.Millisecond,
		ActiveConnectionIDLimit: 2,
	}
}

// The IDs of the transport parameters.
const (
	paramOriginalDCID            = 0x00
	paramMaxIdleTimeout          = 0x01
	paramResetToken              = 0x02
	paramMaxUDPPayloadSize       = 0x03
	paramMaxData                 = 0x04
	paramMaxStreamDataBidiLocal  = 0x05
	paramMaxStreamDataBidiRemote = 0x06
	paramMaxStreamDataUni        = 0x07
	paramMaxStreamsBidi          = 0x08
	paramMaxStreamsUni           = 0x09
	paramAckDelayExponent        = 0x0a
	paramMaxAckDelay             = 0x0b
	paramDisableActiveMigration  = 0x0c
	paramPreferredAddress        = 0x0d
	paramActiveConnectionIDLimit = 0x0e
	paramInitialSCID             = 0x0f
	paramRetrySCID               = 0x10
	paramVersionInformation      = 0x11
	paramResetStreamAt           = 0x1d
	paramMaxDatagramFrameSize    = 0x20
	paramGreaseQUICBit           = 0x2ab2
	paramMinAckDelay             = 0xff04de1b
)

// serverParams has the bits of the parameters that only a server sends.
const serverParams = 1<<paramOriginalDCID | 1<<paramResetToken | 1<<paramPreferredAddress | 1<<paramRetrySCID

const (
	maxUnknownParams  = 16
	maxAckDelayMillis = 1 << 14
	maxMillis         = uint64(1<<63-1) / uint64(time.Millisecond)
)

// usualParams is how many bytes the parameters of a connection rarely exceed.
const usualParams = 192

// AppendTransportParameters appends the parameters that a server, or else a client, sends. A reserved parameter that
// random picks is among them, so that peers stay used to unknown ones (RFC 9000, Section 18.1).
func AppendTransportParameters(b []byte, p *TransportParameters, server bool, random uint64) []byte {
	b = slices.Grow(b, usualParams)
	def := DefaultTransportParameters()
	integer := func(id, v, dflt uint64) {
		if v != dflt {
			b = AppendVarint(b, id)
			b = AppendVarint(b, uint64(VarintLen(v)))
			b = AppendVarint(b, v)
		}
	}
	value := func(id uint64, v []byte) {
		b = AppendVarint(b, id)
		b = AppendVarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	if server {
		value(paramOriginalDCID, p.OriginalDCID.Bytes())
		if p.HasRetrySCID {
			value(paramRetrySCID, p.RetrySCID.Bytes())
		}
		if p.HasResetToken {
			value(paramResetToken, p.ResetToken[:])
		}
		if p.Preferred != nil {
			value(paramPreferredAddress, p.Preferred.append(nil))
		}
	}
	value(paramInitialSCID, p.InitialSCID.Bytes())
	integer(paramMaxIdleTimeout, uint64(p.MaxIdleTimeout/time.Millisecond), 0)
	integer(paramMaxUDPPayloadSize, p.MaxUDPPayloadSize, def.MaxUDPPayloadSize)
	integer(paramMaxData, p.InitialMaxData, 0)
	integer(paramMaxStreamDataBidiLocal, p.InitialMaxStreamDataBidiLocal, 0)
	integer(paramMaxStreamDataBidiRemote, p.InitialMaxStreamDataBidiRemote, 0)
	integer(paramMaxStreamDataUni, p.InitialMaxStreamDataUni, 0)
	integer(paramMaxStreamsBidi, p.InitialMaxStreamsBidi, 0)
	integer(paramMaxStreamsUni, p.InitialMaxStreamsUni, 0)
	integer(paramAckDelayExponent, uint64(p.AckDelayExponent), uint64(def.AckDelayExponent))
	integer(paramMaxAckDelay, uint64(p.MaxAckDelay/time.Millisecond), uint64(def.MaxAckDelay/time.Millisecond))
	if p.DisableActiveMigration {
		value(paramDisableActiveMigration, nil)
	}
	integer(paramActiveConnectionIDLimit, p.ActiveConnectionIDLimit, def.ActiveConnectionIDLimit)
	integer(paramMaxDatagramFrameSize, p.MaxDatagramFrameSize, 0)
	if p.GreaseQUICBit {
		value(paramGreaseQUICBit, nil)
	}
	if p.ResetStreamAt {
		value(paramResetStreamAt, nil)
	}
	if p.HasMinAckDelay {
		integer(paramMinAckDelay, uint64(p.MinAckDelay/time.Microsecond), math.MaxUint64)
	}
	if p.Versions.Chosen != 0 {
		value(paramVersionInformation, p.Versions.append(nil))
	}

	var grease [8]byte
	binary.BigEndian.PutUint64(grease[:], random)
	value(31*(random>>40)+27, grease[:random&7])
	return b
}

func (a *PreferredAddress) append(b []byte) []byte {
	var v4 [4]byte
	var v6 [16]byte
	if a.IPv4.IsValid() {
		v4 = a.IPv4.Addr().As4()
	}
	if a.IPv6.IsValid() {
		v6 = a.IPv6.Addr().As16()
	}
	b = append(b, v4[:]...)
	b = binary.BigEndian.AppendUint16(b, a.IPv4.Port())
	b = append(b, v6[:]...)
	b = binary.BigEndian.AppendUint16(b, a.IPv6.Port())
	b = append(b, byte(a.ID.Len()))
	b = a.ID.Append(b)
	return append(b, a.ResetToken[:]...)
}

func parsePreferredAddress(v []byte) (*PreferredAddress, bool) {
	r := reader{b: v}
	v4, port4 := r.bytes(4), r.bytes(2)
	v6, port6 := r.bytes(16), r.bytes(2)
	id := r.bytes(uint64(r.byte()))
	token := r.bytes(ResetTokenLen)
	// RFC 9000, Section 18.2: a zero-length connection ID here is an error.
	if r.bad || r.pos != len(v) || len(id) == 0 || len(id) > MaxConnectionIDLen {
		return nil, false
	}
	a := &PreferredAddress{ID: NewConnectionID(id), ResetToken: [ResetTokenLen]byte(token)}
	// An all-zero address and port mean that the family is not offered.
	if ip, port := netip.AddrFrom4([4]byte(v4)), binary.BigEndian.Uint16(port4); !ip.IsUnspecified() && port != 0 {
		a.IPv4 = netip.AddrPortFrom(ip, port)
	}
	if ip, port := netip.AddrFrom16([16]byte(v6)), binary.BigEndian.Uint16(port6); !ip.IsUnspecified() && port != 0 {
		a.IPv6 = netip.AddrPortFrom(ip, port)
	}
	return a, true
}

var errParamsTruncated = errors.New("transport parameters are truncated")

// ParseTransportParameters parses the parameters that a server, or else a client, sent. Any error is a
// TRANSPORT_PARAMETER_ERROR (RFC 9000, Section 7.4). Whether the connection IDs are the right ones (Section 7.3) is for
// the caller to check; that the ones which must be there are there is checked here.
func ParseTransportParameters(b []byte, server bool) (TransportParameters, error) {
	p := DefaultTransportParameters()
	var seen uint64 // bits of known parameters
	var unknown []uint64
	for r := (reader{b: b}); r.pos < len(b); {
		id := r.varint()
		v := r.bytes(r.varint())
		if r.bad {
			return p, errParamsTruncated
		}
		bit := paramBit(id)
		if bit == 0 {
			unknown = append(unknown, id)
			if len(p.Unknown) < maxUnknownParams {
				p.Unknown = append(p.Unknown, UnknownParameter{id, slices.Clone(v)})
			}
			continue
		}
		if seen&bit != 0 {
			return p, fmt.Errorf("transport parameter 0x%x sent twice", id)
		}
		seen |= bit
		if err := p.set(id, v); err != nil {
			return p, err
		}
	}
	slices.Sort(unknown)
	for i := 1; i < len(unknown); i++ {
		if unknown[i] == unknown[i-1] {
			return p, fmt.Errorf("transport parameter 0x%x sent twice", unknown[i])
		}
	}
	switch {
	case !server && seen&serverParams != 0:
		return p, errors.New("client sent a transport parameter that only servers send")
	case seen&(1<<paramInitialSCID) == 0:
		return p, errors.New("initial_source_connection_id is missing")
	case server && seen&(1<<paramOriginalDCID) == 0:
		return p, errors.New("original_destination_connection_id is missing")
	case !server && !p.Versions.offersChosen():
		return p, errors.New("version_information of a client whose Chosen Version is not available")
	case p.MinAckDelay > p.MaxAckDelay:
		return p, errors.New("min_ack_delay above max_ack_delay")
	case p.Preferred != nil && p.InitialSCID.Len() == 0:
		// RFC 9000, Section 18.2.
		return p, errors.New("preferred_address of a server without connection IDs")
	}
	return p, nil
}

// paramBit returns the bit that stands for a parameter, zero if it is not known.
func paramBit(id uint64) uint64 {
	switch {
	case id <= paramVersionInformation || id == paramResetStreamAt || id == paramMaxDatagramFrameSize:
		return 1 << id
	case id == paramGreaseQUICBit:
		return 1 << 62
	case id == paramMinAckDelay:
		return 1 << 63
	}
	return 0
}

// set parses the value of a known parameter.
func (p *TransportParameters) set(id uint64, v []byte) error {
	bad := func(why string) error { return fmt.Errorf("transport parameter 0x%x: %s", id, why) }
	switch id {
	case paramOriginalDCID, paramInitialSCID, paramRetrySCID:
		if len(v) > MaxConnectionIDLen {
			return bad("connection ID longer than 20 bytes")
		}
		cid := NewConnectionID(v)
		switch id {
		case paramOriginalDCID:
			p.OriginalDCID = cid
		case paramInitialSCID:
			p.InitialSCID = cid
		default:
			p.RetrySCID, p.HasRetrySCID = cid, true
		}
		return nil
	case paramResetToken:
		if len(v) != ResetTokenLen {
			return bad("stateless_reset_token is not 16 bytes long")
		}
		p.ResetToken, p.HasResetToken = [ResetTokenLen]byte(v), true
		return nil
	case paramDisableActiveMigration, paramGreaseQUICBit, paramResetStreamAt:
		if len(v) != 0 {
			return bad("has a value")
		}
		switch id {
		case paramGreaseQUICBit:
			p.GreaseQUICBit = true
		case paramResetStreamAt:
			p.ResetStreamAt = true
		default:
			p.DisableActiveMigration = true
		}
		return nil
	case paramVersionInformation:
		var ok bool
		if p.Versions, ok = parseVersionInformation(v); !ok {
			return bad("malformed version_information")
		}
		return nil
	case paramPreferredAddress:
		var ok bool
		if p.Preferred, ok = parsePreferredAddress(v); !ok {
			return bad("malformed preferred_address")
		}
		return nil
	}
	n, l := ParseVarint(v)
	if l == 0 || l != len(v) {
		return bad("malformed integer")
	}
	switch id {
	case paramMaxIdleTimeout:
		p.MaxIdleTimeout = time.Duration(min(n, maxMillis)) * time.Millisecond
	case paramMaxUDPPayloadSize:
		if n < 1200 {
			return bad("max_udp_payload_size below 1200")
		}
		p.MaxUDPPayloadSize = n
	case paramMaxData:
		p.InitialMaxData = n
	case paramMaxStreamDataBidiLocal:
		p.InitialMaxStreamDataBidiLocal = n
	case paramMaxStreamDataBidiRemote:
		p.InitialMaxStreamDataBidiRemote = n
	case paramMaxStreamDataUni:
		p.InitialMaxStreamDataUni = n
	case paramMaxStreamsBidi, paramMaxStreamsUni:
		if n > MaxStreams {
			return bad("more than 2^60 streams")
		}
		if id == paramMaxStreamsBidi {
			p.InitialMaxStreamsBidi = n
		} else {
			p.InitialMaxStreamsUni = n
		}
	case paramAckDelayExponent:
		if n > 20 {
			return bad("ack_delay_exponent above 20")
		}
		p.AckDelayExponent = uint8(n)
	case paramMaxAckDelay:
		if n >= maxAckDelayMillis {
			return bad("max_ack_delay of 2^14 ms or more")
		}
		p.MaxAckDelay = time.Duration(n) * time.Millisecond
	case paramActiveConnectionIDLimit:
		if n < 2 {
			return bad("active_connection_id_limit below 2")
		}
		p.ActiveConnectionIDLimit = n
	case paramMinAckDelay:
		if n >= maxAckDelayMillis*1000 {
			return bad("min_ack_delay of 2^14 ms or more")
		}
		p.HasMinAckDelay, p.MinAckDelay = true, time.Duration(n)*time.Microsecond
	case paramMaxDatagramFrameSize:
		p.MaxDatagramFrameSize = n
	}
	return nil
}
