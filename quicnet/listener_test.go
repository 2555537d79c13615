package quicnet

import (
	"errors"
	"net"
	"testing"
)

// TestBacklogOfTheDead fills the backlog with connections that end before anyone accepts them.
func TestBacklogOfTheDead(t *testing.T) {
	l := &Listener{backlog: 2}
	for range 10 {
		c := NewDriver(nil).Conn()
		if err := l.ready(c); err != nil {
			t.Fatal(err)
		}
		c.end(net.ErrClosed)
	}
	if len(l.arrived) > l.backlog {
		t.Errorf("%d connections wait", len(l.arrived))
	}
	for range 2 {
		if err := l.ready(NewDriver(nil).Conn()); err != nil {
			t.Error(err)
		}
	}
	if err := l.ready(NewDriver(nil).Conn()); !errors.Is(err, errBacklog) {
		t.Errorf("one too many: %v", err)
	}
}

func TestBacklogWithoutBound(t *testing.T) {
	l := &Listener{backlog: -1}
	for range 2 * defaultBacklog {
		if err := l.ready(NewDriver(nil).Conn()); err != nil {
			t.Fatal(err)
		}
	}
}
