package h3driver

import (
	"io"
	"testing"

	"github.com/dunlin-quic/dunlin/h3"
)

func TestStreamAudit(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields, Body: make([]byte, 1000), Fin: true})
	if _, err := io.ReadAll(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Respond(okFields, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	want := StreamAudit{BytesReceived: 100_000, BytesSent: 1000, FinReceived: true, FinSent: true}
	if got := c.Audit(); got != want {
		t.Errorf("client: %+v", got)
	}
	want.BytesReceived, want.BytesSent = want.BytesSent, want.BytesReceived
	if got := s.Audit(); got != want {
		t.Errorf("server: %+v", got)
	}
}

func TestStreamAuditOfEarlyEnds(t *testing.T) {
	p := newPair(t, nil)
	c, s := p.open(t, Part{Header: postFields})
	c.CancelWrite(h3.RequestCancelled)
	c.CancelRead(h3.InternalError)
	reset := next(t, p.server, EventReset)
	stop := next(t, p.server, EventStopSending)
	if reset.Stream != s || stop.Stream != s {
		t.Fatal("another stream")
	}
	want := StreamAudit{
		ResetReceived: EarlyEnd{true, h3.RequestCancelled}, StopReceived: EarlyEnd{true, h3.InternalError},
	}
	got := s.Audit()
	got.ResetSent = EarlyEnd{} // QUIC answers the wish to stop by itself
	if got != want {
		t.Errorf("server: %+v", got)
	}
	got = c.Audit()
	if want := (EarlyEnd{true, h3.RequestCancelled}); got.ResetSent != want {
		t.Errorf("client: %+v", got)
	}
	if want := (EarlyEnd{true, h3.InternalError}); got.StopSent != want {
		t.Errorf("client: %+v", got)
	}
	if got.FinSent || got.FinReceived {
		t.Errorf("client: complete: %+v", got)
	}
}
