package h3

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

func TestRequestAndResponse(t *testing.T) {
	p := newPair(t, pairOptions{})
	for _, side := range []quic.Side{quic.Client, quic.Server} {
		ev := p.one(side, EventSettings)
		if got, ok := p.h[side].PeerSettings(); !ok || !reflect.DeepEqual(got, ev.Settings) || len(got) < 4 {
			t.Errorf("%v: settings %v, %t, told %v", side, got, ok, ev.Settings)
		}
	}
	c := p.request(append(slices.Clone(getRequest), Field{Name: "priority", Value: "u=1, i"}), true)
	p.run()
	ev := p.one(quic.Server, EventHeaders)
	s := ev.Stream
	if !ev.Fin || s.ID() != c.ID() || len(ev.Fields) != 5 || s.Priority() != (Priority{1, true}) {
		t.Fatalf("request: %+v, priority %+v", ev, s.Priority())
	}
	if _, err := readAll(s); err != io.EOF {
		t.Errorf("request body: %v", err)
	}
	for _, status := range []string{"103", "100", "103"} {
		if err := s.SendInterim(fields(":status", status)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SendHeaders(okResponse, false); err != nil {
		t.Fatal(err)
	}
	if n, err := s.TryWriteBody([]byte("hello"), false); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	p.run()
	if got := p.kinds(quic.Client, c); !slices.Equal(got, []EventKind{
		EventInterim, EventInterim, EventInterim, EventHeaders, EventData,
	}) {
		t.Fatalf("events %v", got)
	}
	if body, err := readAll(c); string(body) != "hello" || err != quic.ErrWouldBlock {
		t.Fatalf("%q, %v", body, err)
	}
	p.events[quic.Client] = nil
	if n, err := s.TryWriteBody([]byte(" world"), false); n != 6 || err != nil {
		t.Fatal(n, err)
	}
	trailers := fields("x-checksum", "0123")
	if err := s.SendTrailers(trailers); err != nil {
		t.Fatal(err)
	}
	p.run()
	if got := p.kinds(quic.Client, c); !slices.Equal(got, []EventKind{EventData}) {
		t.Fatalf("events %v", got)
	}
	// The trailers come by NextEvent; the end of the body only after them.
	if body, err := readAll(c); string(body) != " world" || err != quic.ErrWouldBlock {
		t.Fatalf("%q, %v", body, err)
	}
	p.events[quic.Client] = nil
	p.run()
	if ev := p.events[quic.Client][0]; ev.Kind != EventTrailers || !ev.Fin || !reflect.DeepEqual(ev.Fields, trailers) {
		t.Fatalf("trailers: %+v", ev)
	}
	if _, err := readAll(c); err != io.EOF {
		t.Fatal(err)
	}
	p.run()
	for _, side := range []quic.Side{quic.Client, quic.Server} {
		p.one(side, EventStreamClosed)
		if p.h[side].streams.head != nil {
			t.Errorf("%v: streams are kept", side)
		}
	}
	if got := p.h[quic.Server].NextRequestID(); got != 4 {
		t.Errorf("next request ID %d", got)
	}
}

// echo lets the server send back each request, body and trailers, in the rhythm that QUIC allows.
type echo struct {
	t       *testing.T
	body    []byte // read and not yet written
	trailer []Field
	ended   bool
}

func (e *echo) event(ev Event) {
	s := ev.Stream
	switch ev.Kind {
	case EventHeaders:
		if err := s.SendHeaders(okResponse, ev.Fin); err != nil {
			e.t.Error(err)
		}
		return
	case EventTrailers:
		e.trailer = slices.Clone(ev.Fields)
		e.ended = ev.Fin
	case EventFinished:
		e.ended = true
	case EventData, EventWritable:
	default:
		return
	}
	buf := make([]byte, 4096)
	for {
		for len(e.body) < 10_000 {
			n, err := s.TryReadBody(buf)
			e.body = append(e.body, buf[:n]...)
			if err == io.EOF {
				e.ended = true
			}
			if err != nil {
				break
			}
		}
		if len(e.body) == 0 {
			break
		}
		n, err := s.TryWriteBody(e.body, false)
		e.body = e.body[n:]
		if err != nil {
			return
		}
	}
	if e.ended && s.send == sendBody {
		if e.trailer != nil {
			if err := s.SendTrailers(e.trailer); err != nil {
				e.t.Error(err)
			}
		} else if _, err := s.TryWriteBody(nil, true); err != nil {
			e.t.Error(err)
		}
	}
}

func TestLargeBodiesBothWaysUnderLoss(t *testing.T) {
	for _, tt := range []struct {
		name     string
		trailers bool
		loss     int // one datagram in so many
		window   int
	}{
		{"plain", false, 0, 0}, {"trailers", true, 0, 0}, {"loss", true, 20, 0}, {"small window", true, 0, 2000},
		{"tiny window", false, 0, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			count := 0
			size := 1 << 20
			o := pairOptions{}
			if tt.loss > 0 {
				o.drop = func() bool { count++; return count > 20 && count%tt.loss == 0 }
			}
			if tt.window > 0 {
				size = 20 * tt.window
				o.quic = func(_ quic.Side, cfg *quic.Config) {
					cfg.StreamWindow, cfg.MaxStreamWindow = tt.window, tt.window
				}
				for side := range o.cfg {
					o.cfg[side] = &Config{QPACKEncoderCapacity: -1, QPACKTableCapacity: -1}
				}
			}
			p := newPair(t, o)
			e := &echo{t: t}
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(i * i >> 8)
			}
			var got []byte
			var trailers []Field
			ended := false
			unsent := want
			send := func(s *Stream) {
				for len(unsent) > 0 {
					n, err := s.TryWriteBody(unsent, !tt.trailers)
					unsent = unsent[n:]
					if err == quic.ErrWouldBlock {
						return
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if tt.trailers && s.send == sendBody {
					if err := s.SendTrailers(fields("x-end", "1")); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.onEvent = func(side quic.Side, ev Event) {
				if side == quic.Server {
					e.event(ev)
					return
				}
				switch ev.Kind {
				case EventWritable:
					send(ev.Stream)
				case EventTrailers:
					trailers = slices.Clone(ev.Fields)
					ended = ev.Fin
				case EventFinished:
					ended = true
				case EventData:
					body, err := readAll(ev.Stream)
					got = append(got, body...)
					ended = ended || err == io.EOF
				}
			}
			send(p.request(postRequest, false))
			p.run()
			if !bytes.Equal(got, want) || !ended || (trailers != nil) != tt.trailers {
				t.Fatalf("%d of %d bytes came back, ended: %t, trailers %v; %v, %v", len(got), len(want), ended,
					trailers,
					p.q[quic.Client].Err(), p.q[quic.Server].Err())
			}
		})
	}
}
