package simnet

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

// SeenFlow is a connection as an [Observer] sees it.
type SeenFlow struct {
	// ODCID and ClientSCID are the connection IDs of the client's first packet.
	ODCID, ClientSCID quic.ConnectionID
	// ClientHellos counts the CRYPTO frames that a ClientHello begins in.
	ClientHellos int
	// Messages are the types of the TLS messages in the server's Handshake packets, as far as they came in order.
	Messages []byte
	// HandshakeBytes is how far the CRYPTO frames of the server's Handshake packets go.
	HandshakeBytes uint64
	// Parameters are the server's transport parameters, once seen.
	Parameters *wire.TransportParameters
	// Suite is what protects the 1-RTT packets, once seen.
	Suite protect.Suite

	random    string // the client's, in hexadecimal, as the key log has it
	hello     pieces
	flight    pieces // of the server's Handshake packets
	parsed    int    // bytes of flight that Messages tells about
	version   quic.Version
	initialID quic.ConnectionID // what the keys of Initial packets come from
	retries   []quic.ConnectionID
	issuer    map[quic.ConnectionID]quic.Side
	next      [2][4]uint64 // by side and space, the packet number after the largest one
	keys      map[levelKey]*seenKeys
	app       [2]*appKeys
}

type levelKey struct {
	typ     wire.PacketType
	version quic.Version
	id      quic.ConnectionID // for Initial packets
	from    quic.Side
}

// sender tells which side sent a packet with a long header.
func (f *SeenFlow) sender(h *wire.LongHeader) quic.Side {
	side := quic.Server
	if h.SCID == f.ClientSCID {
		side = quic.Client
	}
	f.issuer[h.SCID] = side
	return side
}

// space returns where the next packet number of a sender is kept.
func (f *SeenFlow) space(t wire.PacketType, from quic.Side) *uint64 {
	space := 2 // 0-RTT and 1-RTT share one
	switch t {
	case wire.Initial:
		space = 0
	case wire.Handshake:
		space = 1
	}
	return &f.next[from][space]
}

// longKeys returns the keys of a packet with a long header, nil if there are none.
func (f *SeenFlow) longKeys(o *Observer, h *wire.LongHeader, from quic.Side) *seenKeys {
	name := levelKey{typ: h.Type, version: h.Version, from: from}
	if h.Type == wire.Initial {
		if from == quic.Client && (h.DCID == f.ODCID || slices.Contains(f.retries, h.DCID)) {
			f.initialID = h.DCID
		}
		name.id = f.initialID
	}
	if k := f.keys[name]; k != nil {
		return k
	}
	var k *seenKeys
	switch h.Type {
	case wire.Initial:
		client, server, err := protect.InitialSecrets(h.Version, f.initialID)
		if err != nil {
			return nil
		}
		secret := client
		if from == quic.Server {
			secret = server
		}
		k = newSeenKeys(h.Version, secret)
	case wire.Handshake:
		f.version = h.Version
		label := "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
		if from == quic.Server {
			label = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
		}
		k = newSeenKeys(h.Version, o.keys[keyName{label, f.random}])
	case wire.ZeroRTT:
		k = newSeenKeys(h.Version, o.keys[keyName{"CLIENT_EARLY_TRAFFIC_SECRET", f.random}])
	}
	if k == nil {
		return nil
	}
	if f.keys == nil {
		f.keys = map[levelKey]*seenKeys{}
	}
	f.keys[name] = k
	return k
}

// openShort removes the protection of a 1-RTT packet, and follows its sender's key updates.
func (f *SeenFlow) openShort(o *Observer, p *SeenPacket, b []byte, expected uint64) bool {
	k := f.app[p.From]
	if k == nil {
		label := "CLIENT_TRAFFIC_SECRET_0"
		if p.From == quic.Server {
			label = "SERVER_TRAFFIC_SECRET_0"
		}
		secret := o.keys[keyName{label, f.random}]
		if f.version == 0 || secret == nil {
			return false
		}
		k = &appKeys{version: f.version, secret: secret}
		k.phases = []*seenKeys{newSeenKeys(f.version, secret)}
		f.app[p.From] = k
	}
	var ok bool
	p.PN, p.KeyPhase, p.Updates, p.Payload, ok = k.open(b, 1+shortDCIDLen, expected)
	if ok {
		f.Suite = k.phases[0].opener.Suite()
	}
	return ok
}

// crypto takes in a CRYPTO frame.
func (f *SeenFlow) crypto(p *SeenPacket, c *wire.CryptoFrame) {
	switch {
	case p.Type == wire.Initial && p.From == quic.Client:
		if c.Offset == 0 {
			f.ClientHellos++
		}
		f.hello.add(c)
		const randomAt = 4 + 2 // after the message's header and the version
		if f.random == "" && len(f.hello.b) >= randomAt+32 {
			f.random = hex.EncodeToString(f.hello.b[randomAt : randomAt+32])
		}
	case p.Type == wire.Handshake && p.From == quic.Server:
		f.HandshakeBytes = max(f.HandshakeBytes, c.Offset+uint64(len(c.Data)))
		f.flight.add(c)
		f.messages()
	}
}

// Types of TLS handshake messages (RFC 8446, Section 4).
const (
	tlsEncryptedExtensions = 8
	tlsCertificate         = 11
)

// messages reads what TLS messages of the server are whole.
func (f *SeenFlow) messages() {
	for rest := f.flight.b[f.parsed:]; len(rest) >= 4; {
		n := 4 + int(rest[1])<<16 + int(rest[2])<<8 + int(rest[3])
		if len(rest) < n {
			break
		}
		f.Messages = append(f.Messages, rest[0])
		if rest[0] == tlsEncryptedExtensions {
			f.extensions(rest[4:n])
		}
		f.parsed += n
		rest = rest[n:]
	}
}

// extensions looks for quic_transport_parameters (RFC 9001, Section 8.2) in a list of TLS extensions.
func (f *SeenFlow) extensions(b []byte) {
	for b = b[2:]; len(b) >= 4; {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < n {
			return
		}
		if binary.BigEndian.Uint16(b) == 0x39 {
			if tp, err := wire.ParseTransportParameters(b[4:n], true); err == nil {
				f.Parameters = &tp
			}
		}
		b = b[n:]
	}
}

// pieces is a stream of which the pieces may come in any order.
type pieces struct {
	b    []byte // from the start, without a gap
	late []wire.CryptoFrame
}

func (s *pieces) add(f *wire.CryptoFrame) {
	s.late = append(s.late, wire.CryptoFrame{Offset: f.Offset, Data: bytes.Clone(f.Data)})
	for again := true; again; {
		again = false
		s.late = slices.DeleteFunc(s.late, func(f wire.CryptoFrame) bool {
			if f.Offset > uint64(len(s.b)) {
				return false
			}
			if end := f.Offset + uint64(len(f.Data)); end > uint64(len(s.b)) {
				s.b = append(s.b, f.Data[uint64(len(s.b))-f.Offset:]...)
				again = true
			}
			return true
		})
	}
}

// seenKeys opens one side's packets of one encryption level. Which cipher suite it is shows by trial.
type seenKeys struct {
	version quic.Version
	secret  []byte
	opener  *protect.Opener
}

func newSeenKeys(v quic.Version, secret []byte) *seenKeys {
	if secret == nil {
		return nil
	}
	return &seenKeys{version: v, secret: secret}
}

// open removes a packet's protection, in place once the cipher suite is known.
func (k *seenKeys) open(pkt []byte, pnOffset int, expected uint64) (pn uint64, payload []byte, ok bool) {
	if k.opener != nil {
		return openWith(k.opener, k.opener, pkt, pnOffset, expected)
	}
	for _, suite := range []protect.Suite{protect.AES128GCM, protect.ChaCha20Poly1305, protect.AES256GCM} {
		opener, err := protect.NewOpener(k.version, suite, k.secret)
		if err != nil {
			continue
		}
		if pn, payload, ok = openWith(opener, opener, bytes.Clone(pkt), pnOffset, expected); ok {
			k.opener = opener
			return pn, payload, true
		}
	}
	return 0, nil, false
}

// openWith unmasks a packet with one key and decrypts it with another.
func openWith(mask, opener *protect.Opener, pkt []byte, pnOffset int, expected uint64) (uint64, []byte, bool) {
	pn, pnLen, ok := mask.Unmask(pkt, pnOffset, expected)
	if !ok {
		return 0, nil, false
	}
	payload, err := opener.Open(pkt, pnOffset+pnLen, pn)
	return pn, payload, err == nil
}

// appKeys opens one side's 1-RTT packets.
type appKeys struct {
	version quic.Version
	secret  []byte      // of the last of phases
	phases  []*seenKeys // by how many key updates there were
}

// open removes a packet's protection. A sender goes from one key phase to the next and never back.
func (a *appKeys) open(pkt []byte, pnOffset int, expected uint64) (pn uint64, bit bool, phase int, payload []byte, ok bool) {
	first := a.phases[0]
	if first.opener == nil {
		pn, payload, ok = first.open(pkt, pnOffset, expected)
		return pn, false, 0, payload, ok
	}
	// The key of header protection stays (RFC 9001, Section 6.1).
	pn, pnLen, ok := first.opener.Unmask(pkt, pnOffset, expected)
	if !ok {
		return 0, false, 0, nil, false
	}
	bit = wire.KeyPhase(pkt[0])
	if bit != (len(a.phases)%2 == 0) {
		a.update()
	}
	phase = len(a.phases) - 1
	payload, err := a.phases[phase].opener.Open(pkt, pnOffset+pnLen, pn)
	return pn, bit, phase, payload, err == nil
}

// update derives the next key (RFC 9001, Section 6.1).
func (a *appKeys) update() {
	suite := a.phases[0].opener.Suite()
	h := sha256.New
	if suite == protect.AES256GCM {
		h = sha512.New384
	}
	label := "quic ku"
	if a.version == quic.Version2 {
		label = "quicv2 ku"
	}
	a.secret = expandLabel(h, a.secret, label)
	next := &seenKeys{version: a.version, secret: a.secret}
	next.opener, _ = protect.NewOpener(a.version, suite, a.secret)
	a.phases = append(a.phases, next)
}

// expandLabel is HKDF-Expand-Label (RFC 8446, Section 7.1) with an empty context, for a secret as long as the one given.
func expandLabel(h func() hash.Hash, secret []byte, label string) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(len(secret)))
	info = append(info, byte(len(label)))
	info = append(append(info, label...), 0)
	out, err := hkdf.Expand(h, secret, string(info), len(secret))
	if err != nil {
		panic(err)
	}
	return out
}
