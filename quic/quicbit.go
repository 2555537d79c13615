package quic

import (
	"encoding/binary"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Greasing of the QUIC bit (RFC 9287): once the peer has said that it does not care, the bit that all packets of versions 1
// and 2 have is a matter of chance, lest somebody between comes to rely on it.

// quicBit decides which packets go without the bit. Zero means none; otherwise its low bits say it of the next ones, up to
// the highest bit set, which only marks the end.
type quicBit uint64

// greaseBegins is the quicBit of a connection that may clear the bit from now on.
const greaseBegins quicBit = 1

// greaseQUICBit takes the QUIC bit off the packet whose header is pkt, or leaves it.
func (c *Conn) greaseQUICBit(pkt []byte) {
	if c.quicBit == 0 {
		return
	}
	if c.quicBit == greaseBegins {
		// Where the packet goes on there is room for more than that.
		random := pkt[len(pkt) : len(pkt)+8]
		mustRead(c.cfg.Rand, random)
		c.quicBit = quicBit(binary.BigEndian.Uint64(random) | 1<<63)
	}
	if c.quicBit&1 != 0 {
		wire.ClearFixedBit(pkt)
	}
	c.quicBit >>= 1
}

// takesQUICBit reports whether a packet that begins with first may be for this connection.
func (c *Conn) takesQUICBit(first byte) bool { return wire.FixedBit(first) || !c.cfg.NoQUICBitGrease }

// negotiateQUICBit learns what the peer says.
func (c *Conn) negotiateQUICBit(tp *wire.TransportParameters) {
	c.quicBit = 0
	if tp.GreaseQUICBit && !c.cfg.NoQUICBitGrease {
		c.quicBit = greaseBegins
	}
}

// What a client's TokenCache keeps is a token of a server behind a byte that tells whether that takes packets without the QUIC
// bit, and when it said so, in seconds.
const (
	tokenPrefix = 1 + 8
	// quicBitLife is for how long that may be taken for granted (RFC 9287, Section 3.1).
	quicBitLife = 7 * 24 * time.Hour
)

// cachedToken returns a server's token as it is kept.
func (c *Conn) cachedToken(token []byte) []byte {
	b := make([]byte, 1, tokenPrefix+len(token))
	if c.quicBit != 0 {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.epoch.Time(c.now).Unix()))
	return append(b, token...)
}

// useCachedToken makes the client's first packets carry a token that was kept. They may then go without the QUIC bit before
// the server's transport parameters are there.
func (c *Conn) useCachedToken(b []byte) {
	if len(b) <= tokenPrefix || len(b) > tokenPrefix+maxTokenLen {
		return
	}
	c.hs.token = b[tokenPrefix:]
	age := c.epoch.Time(c.now).Sub(time.Unix(int64(binary.BigEndian.Uint64(b[1:])), 0))
	if b[0] == 1 && age >= 0 && age < quicBitLife && !c.cfg.NoQUICBitGrease {
		c.quicBit = greaseBegins
	}
}
