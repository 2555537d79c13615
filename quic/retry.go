package quic

import (
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// handleVersionNegotiation processes a Version Negotiation packet (RFC 9000, Section 6.2).
func (c *Conn) handleVersionNegotiation(b []byte) {
	p, ok := wire.ParseVersionNegotiation(b)
	// A packet that was already answered, or that does not name our connection IDs, is no answer to ours; one that
	// lists the version we use is false.
	if !ok || c.side == Server || c.hs == nil || c.hs.heard || c.hs.retried || p.Contains(c.version) ||
		string(p.SCID) != string(c.hs.initialDCID.Bytes()) || string(p.DCID) != string(c.local.active[0].id.Bytes()) {
		c.stats.PacketsDropped++
		return
	}
	c.terminate(ErrVersionNegotiation)
}

// handleRetry processes a Retry packet (RFC 9000, Section 17.2.5).
func (c *Conn) handleRetry(b []byte) {
	p, ok := wire.ParseRetry(b)
	// RFC 9000, Section 17.2.5.2: one Retry for a connection attempt, before anything else.
	if !ok || c.side == Server || c.hs == nil || c.hs.heard || c.hs.retried || p.DCID != c.local.active[0].id ||
		p.Version != c.version || p.SCID == c.hs.initialDCID || len(p.Token) > minDatagramSize/2 || !protect.VerifyRetry(&p, c.hs.origDCID) {
		c.stats.PacketsDropped++
		return
	}
	c.hs.retried = true
	c.hs.token = append([]byte(nil), p.Token...)
	c.hs.initialDCID = p.SCID
	c.path.dcid = p.SCID
	if err := c.setInitialKeys(); err != nil {
		c.fail(&TransportError{Code: InternalError, Err: err})
		return
	}
	c.rec.Requeue(recovery.Initial, c)
}
