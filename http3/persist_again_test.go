package http3

import (
	"errors"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
)

// TestRefusedAlone: who is refused while others are answered goes on at once only where the server has had enough of the connection.
func TestRefusedAlone(t *testing.T) {
	rejected := &h3.Error{OnStream: true, Code: h3.RequestRejected}
	c := &ClientConn{transport: &Transport{DialTimeout: time.Nanosecond}}
	c.took.Store(true)
	var p persistence
	var err error
	for range 2 {
		err = p.again(t.Context(), c, true, rejected)
	}
	if !errors.Is(err, rejected) {
		t.Errorf("a request that the server does not want goes on: %v", err)
	}
	c.goneAway.Store(true)
	for range 100 {
		if err := p.again(t.Context(), c, true, rejected); err != nil {
			t.Fatal(err)
		}
	}
}
