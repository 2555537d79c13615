package h3driver

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/quic"
)

// rawClient is a client that writes the bytes of HTTP/3 by hand.
type rawClient struct {
	engine.Base
	events chan quic.Event
}

func (r *rawClient) ProcessReads(s *engine.Session) error {
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		select {
		case r.events <- ev:
		default:
		}
	}
	return nil
}

// headersFrame is a HEADERS frame (RFC 9114, Section 7.2.2) of any fields, malformed ones too.
func headersFrame(fields ...h3.Field) []byte {
	block := qpack.NewEncoder(0).Encode(nil, 0, fields)
	return append([]byte{0x01, 0x40 | byte(len(block)>>8), byte(len(block))}, block...)
}

// TestOneBadRequestLeavesTheOthersAlone: a malformed request is an error of its stream (RFC 9114, Section 4.1.2).
func TestOneBadRequestLeavesTheOthersAlone(t *testing.T) {
	p := listen(t, &options{})
	raw := &rawClient{events: make(chan quic.Event, 100)}
	c := p.dial(t, quic.Config{}, raw)
	for _, bad := range [][]h3.Field{
		append(getFields[:4:4], h3.Field{Name: "Upper", Value: "x"}),
		append(getFields[:4:4], h3.Field{Name: "connection", Value: "close"}),
		getFields[:3],
		append(getFields[:4:4], h3.Field{Name: "content-length", Value: "5"}), // without a body
	} {
		send(t, c, headersFrame(bad...), true)
	}
	good := send(t, c, headersFrame(getFields...), true)
	server := <-p.servers
	ev := next(t, server, EventHeaders)
	if ev.Stream.ID() != good {
		t.Errorf("request %d was told, want %d", ev.Stream.ID(), good)
	}
}

// send opens a stream with the given bytes.
func send(t *testing.T, c *engine.Connection, b []byte, fin bool) (id quic.StreamID) {
	t.Helper()
	err := c.Do(func(s *engine.Session) {
		st, err := s.Conn().OpenStream(quic.Bidi)
		if err != nil {
			t.Error(err)
			return
		}
		id = st.ID()
		if _, err := st.TryWrite(b, fin); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestHeaderTimeout: a header section that does not come costs the client that stream and nothing else.
func TestHeaderTimeout(t *testing.T) {
	p := listen(t, &options{server: Config{HeaderTimeout: 30 * time.Millisecond}})
	raw := &rawClient{events: make(chan quic.Event, 100)}
	c := p.dial(t, quic.Config{}, raw)
	frame := headersFrame(getFields...)
	slow := send(t, c, frame[:len(frame)-1], false)
	quick := send(t, c, frame, false)
	server := <-p.servers
	ev := next(t, server, EventHeaders)
	if ev.Stream.ID() != quick {
		t.Errorf("request %d was told, want %d", ev.Stream.ID(), quick)
	}
	for reset := false; !reset; {
		select {
		case ev := <-raw.events:
			if ev.Stream == nil || ev.Stream.ID() != slow || ev.Kind != quic.EventStreamReadable {
				continue
			}
			c.Do(func(*engine.Session) {
				_, err := ev.Stream.TryRead(make([]byte, 1))
				e, ok := err.(*quic.StreamError)
				if !ok || !e.Remote || e.Code != uint64(h3.RequestIncomplete) {
					t.Errorf("slow request: %v", err)
				}
			})
			reset = true
		case <-time.After(10 * time.Second):
			t.Fatal("the slow request was not reset")
		}
	}
	if err := ev.Stream.Respond(okFields, nil); err != nil {
		t.Errorf("the other request: %v", err)
	}
}

// TestAbandonedRequestIsNotToldOf: of a request that its client abandoned before anybody fetched it, nothing is heard later
// either.
func TestAbandonedRequestIsNotToldOf(t *testing.T) {
	p := listen(t, &options{})
	c := p.dial(t, quic.Config{}, &rawClient{events: make(chan quic.Event, 100)})
	id := send(t, c, headersFrame(postFields...), false)
	err := c.Do(func(s *engine.Session) {
		st := s.Conn().Stream(id)
		st.Reset(uint64(h3.RequestCancelled))
		st.StopSending(uint64(h3.RequestCancelled))
	})
	if err != nil {
		t.Fatal(err)
	}
	good := send(t, c, headersFrame(getFields...), true)
	server := <-p.servers
	for arrived := false; !arrived; {
		err := server.Do(testContext(t), func(s *engine.Session, _ *h3.Conn) { arrived = s.Conn().Stream(good) != nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if ev := next(t, server, EventHeaders); ev.Stream.ID() != good {
		t.Errorf("request %d was told, want %d", ev.Stream.ID(), good)
	}
}
