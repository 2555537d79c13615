package quic

import (
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// handleRetry processes a Retry packet (RFC 9000, Section 17.2.5).
func (c *Conn) handleRetry(b []byte) {
	p, ok := wire.ParseRetry(b)
	// RFC 9000, Section 17.2.5.2: one Retry for a connection attempt, before anything else. RFC 9369, Section 4.1: in the
	// version of the first flight.
	if !ok || c.side == Server || c.hs == nil || c.hs.heard || c.hs.retried || p.DCID != c.local.active[0].id ||
		p.Version != c.hs.chosen || p.SCID == c.hs.initialDCID || len(p.Token) > minDatagramSize/2 || !protect.VerifyRetry(&p, c.hs.origDCID) {
		c.stats.PacketsDropped++
		return
	}
	if c.trace != nil {
		c.trace.retry(&p, len(b))
	}
	c.hs.retried = true
	// RFC 9287, Section 3.1: what was remembered goes with the token of the connection before.
	c.quicBit = 0
	c.hs.token = append([]byte(nil), p.Token...)
	c.hs.initialDCID = p.SCID
	c.path.dcid = p.SCID
	if err := c.setInitialKeys(); err != nil {
		c.fail(&TransportError{Code: InternalError, Err: err})
		return
	}
	c.rec.Requeue(recovery.Initial, (*fates)(c))
	if c.sendsEarly() {
		// RFC 9000, Section 17.2.3: what was sent in 0-RTT packets before the Retry is likely to be lost.
		c.rec.Requeue(recovery.AppData, (*fates)(c))
	}
}
