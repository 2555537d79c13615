package simnet

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// webClient asks for files of the given sizes over HTTP/3, or sends them, and closes the connection when all is done.
type webClient struct {
	web
	sizes []int
	up    bool
	done  int
}

// webServer answers with as many bytes as the path says, and says how many bytes came.
type webServer struct{ web }

// web is HTTP/3 on one connection.
type web struct {
	peer   *Peer
	conn   *h3.Conn
	handle func(h3.Event)
	bodies map[*h3.Stream]*webBody
}

// webBody is how far the bodies of one exchange have come.
type webBody struct {
	send, sent, received, want int
	ended                      bool
}

func (a *web) start(p *Peer, handle func(h3.Event)) {
	a.peer, a.handle, a.bodies = p, handle, map[*h3.Stream]*webBody{}
	a.conn = h3.NewConn(p.Conn, nil)
	a.conn.Flush(p.World.Now())
}

// Event implements App.
func (a *web) Event(p *Peer, e quic.Event) {
	a.conn.HandleEvent(e)
	for ev := a.conn.NextEvent(); ev.Kind != h3.EventNone; ev = a.conn.NextEvent() {
		a.handle(ev)
	}
	a.conn.Flush(p.World.Now())
}

// read takes what has come of a body, and reports whether that is all.
func (a *web) read(s *h3.Stream) bool {
	b := a.bodies[s]
	buf := make([]byte, 16<<10)
	for !b.ended {
		n, err := s.TryReadBody(buf)
		for i, c := range buf[:n] {
			if want := pattern(s.ID(), a.peer.side.Peer(), uint64(b.received+i)); c != want {
				a.peer.World.fail("%v: stream %d has a wrong byte at %d", a.peer.side, s.ID(), b.received+i)
				return false
			}
		}
		b.received += n
		switch {
		case errors.Is(err, quic.ErrWouldBlock):
			return false
		case err == io.EOF:
			b.ended = true
		case err != nil:
			a.peer.World.fail("%v: stream %d: %v", a.peer.side, s.ID(), err)
			return false
		}
	}
	return true
}

// write sends what there is room for of a body.
func (a *web) write(s *h3.Stream) {
	b := a.bodies[s]
	buf := make([]byte, 16<<10)
	for b.sent < b.send {
		part := buf[:min(len(buf), b.send-b.sent)]
		for i := range part {
			part[i] = pattern(s.ID(), a.peer.side, uint64(b.sent+i))
		}
		n, err := s.TryWriteBody(part, b.sent+len(part) == b.send)
		b.sent += n
		if err != nil {
			if !errors.Is(err, quic.ErrWouldBlock) {
				a.peer.World.fail("%v: stream %d: %v", a.peer.side, s.ID(), err)
			}
			return
		}
	}
}

func (c *webClient) Start(p *Peer) { c.start(p, c.event) }

func (c *webClient) event(ev h3.Event) {
	switch ev.Kind {
	case h3.EventSettings:
		for _, size := range c.sizes {
			c.ask(size)
		}
	case h3.EventWritable:
		c.write(ev.Stream)
	case h3.EventHeaders:
		if ev.Fields[0] != (h3.Field{Name: ":status", Value: "200"}) {
			c.peer.World.fail("response %v", ev.Fields)
		}
	case h3.EventData, h3.EventFinished:
		if b := c.bodies[ev.Stream]; !b.ended && c.read(ev.Stream) {
			if b.received != b.want {
				c.peer.World.fail("%d bytes of %d", b.received, b.want)
			}
			if c.done++; c.done == len(c.sizes) {
				c.conn.CloseWithError(h3.NoError, "")
			}
		}
	}
}

func (c *webClient) ask(size int) {
	s, err := c.conn.OpenRequest()
	if err != nil {
		c.peer.World.fail("OpenRequest: %v", err)
		return
	}
	b := &webBody{want: size}
	method := "GET"
	if c.up {
		method, b.send, b.want = "POST", size, 10
	}
	c.bodies[s] = b
	err = s.SendHeaders([]h3.Field{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: ServerName}, {Name: ":path", Value: "/" + strconv.Itoa(b.want)},
	}, !c.up)
	if err != nil {
		c.peer.World.fail("SendHeaders: %v", err)
	}
	c.write(s)
}

func (s *webServer) Start(p *Peer) { s.start(p, s.event) }

func (s *webServer) event(ev h3.Event) {
	switch ev.Kind {
	case h3.EventHeaders:
		b := &webBody{}
		for _, f := range ev.Fields {
			if f.Name == ":path" {
				b.send, _ = strconv.Atoi(f.Value[1:])
			}
		}
		s.bodies[ev.Stream] = b
		if ev.Fin {
			s.answer(ev.Stream)
		}
	case h3.EventData, h3.EventFinished:
		if b := s.bodies[ev.Stream]; !b.ended && s.read(ev.Stream) {
			s.answer(ev.Stream)
		}
	case h3.EventWritable:
		s.write(ev.Stream)
	}
}

func (s *webServer) answer(to *h3.Stream) {
	if err := to.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false); err != nil {
		s.peer.World.fail("SendHeaders: %v", err)
	}
	s.write(to)
}

// TestInteropRunnerHTTP3 is the interop runner's case http3.
func TestInteropRunnerHTTP3(t *testing.T) {
	for _, up := range []bool{false, true} {
		for _, cc := range []quic.CongestionControl{quic.NewReno, quic.CUBIC, quic.BBR} {
			for seed := range uint64(*seeds) {
				t.Run(fmt.Sprintf("%s/%s/%d", downOrUp(up), controllerName(cc), seed), func(t *testing.T) {
					r := newRunnerRun(t, &runnerCase{files: [][]uint64{nil}}, up, cc, seed)
					r.ccfg.TLS.NextProtos, r.scfg.TLS.NextProtos = []string{h3.NextProto}, []string{h3.NextProto}
					r.newApp = func() App { return &webServer{} }
					r.trace.closeCode = uint64(h3.NoError)
					r.begin()
					app := &webClient{sizes: []int{5 * kB, 10 * kB, 500 * kB}, up: up}
					client, err := r.NewClient(r.ccfg, r.server, app)
					if err != nil {
						t.Fatal(err)
					}
					if err := r.Run(time.Minute); err != nil {
						t.Fatal(err)
					}
					if app.done != len(app.sizes) {
						t.Fatalf("%d files, then %v", app.done, client.Err)
					}
					r.always()
				})
			}
		}
	}
}
