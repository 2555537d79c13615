package quic

import (
	"context"
	"crypto/tls"
	"testing"
	"time"
)

// BenchmarkHandshake is what a handshake costs, sockets aside: both sides of it, or the server's alone. Beside it is what
// crypto/tls does of that by itself.
func BenchmarkHandshake(b *testing.B) {
	benchmarkHandshakes(b, func(b *testing.B, cfg [2]*tls.Config, t *turns) func() {
		d := &duet{b: b, turns: t, now: time.Now(), buf: make([]byte, 64<<10), reply: make([]byte, MinReplyBuffer)}
		for side := range d.cfg {
			var err error
			if d.cfg[side], err = (&Config{TLS: cfg[side], StatelessResetKey: new([32]byte)}).Resolve(); err != nil {
				b.Fatal(err)
			}
		}
		var err error
		if d.front, err = NewDemux(DemuxConfig{StatelessResetKey: new([32]byte)}); err != nil {
			b.Fatal(err)
		}
		return d.handshake
	})
}

// BenchmarkHandshakeTLS is that floor: the same certificate and cipher suite, a session ticket included.
func BenchmarkHandshakeTLS(b *testing.B) {
	benchmarkHandshakes(b, func(b *testing.B, cfg [2]*tls.Config, t *turns) func() {
		// The transport parameters are as long as those of a connection.
		d := &tlsDuet{b: b, turns: t, cfg: cfg, arena: make([]byte, 0, 64<<10), params: make([]byte, 100)}
		return d.handshake
	})
}

// benchmarkHandshakes measures full handshakes and resumed ones, each of both sides and of the server.
func benchmarkHandshakes(b *testing.B, prepare func(*testing.B, [2]*tls.Config, *turns) func()) {
	for _, resumed := range []string{"full", "resumed"} {
		for _, whose := range []string{"both", "server"} {
			b.Run(resumed+"/"+whose, func(b *testing.B) {
				cfg := [2]*tls.Config{testConfig(Client).TLS, testConfig(Server).TLS}
				var n, m int
				cfg[Client].VerifyConnection = func(state tls.ConnectionState) error {
					if n++; state.DidResume {
						m++
					}
					return nil
				}
				if resumed == "resumed" {
					cfg[Client].ClientSessionCache = tls.NewLRUClientSessionCache(1)
				}
				t := &turns{b: b}
				one := prepare(b, cfg, t)
				one()
				t.serverOnly = whose == "server"
				b.ReportAllocs()
				for b.Loop() {
					t.client()
					one()
				}
				if want := n - 1; resumed == "full" && m != 0 || resumed != "full" && m != want {
					b.Errorf("%d of %d handshakes were resumed", m, n)
				}
			})
		}
	}
}

// turns says whose turn it is, and stops the clock at the client's if only the server's are measured.
type turns struct {
	b          *testing.B
	serverOnly bool
}

func (t *turns) client() {
	if t.serverOnly {
		t.b.StopTimer()
	}
}

func (t *turns) server() {
	if t.serverOnly {
		t.b.StartTimer()
	}
}

// duet makes connections of a client and a server that hand each other their datagrams.
type duet struct {
	*turns
	b     *testing.B
	cfg   [2]*Config
	front *Demux
	now   time.Time
	conn  [2]*Conn
	buf   []byte
	reply []byte
}

func (d *duet) handshake() {
	client, err := NewClient(d.now, d.cfg[Client], testPaths[Client])
	if err != nil {
		d.b.Fatal(err)
	}
	d.conn = [2]*Conn{Client: client}
	for d.pass(Client, d.server) {
		d.pass(Server, d.client)
		d.turns.client()
	}
	for side, c := range d.conn {
		if c == nil || !c.Confirmed() {
			d.b.Fatalf("the %v's handshake is not confirmed", Side(side))
		}
	}
	d.turns.server() // for b.Loop
}

// pass delivers what side has to send; the turn is the other's from the first byte on.
func (d *duet) pass(side Side, turn func()) (sent bool) {
	from := d.conn[side]
	if from == nil {
		return false
	}
	for {
		t, ok := from.PollTransmit(d.now, d.buf, 64)
		if !ok {
			break
		}
		sent = true
		turn()
		d.deliver(side.Peer(), t)
	}
	for from.NextEvent().Kind != EventNone {
	}
	for from.NextEndpointEvent().Kind != EndpointNone {
	}
	from.NextTimeout()
	return sent
}

func (d *duet) deliver(to Side, t Transmit) {
	data := d.buf[:t.Len]
	if d.conn[to] == nil {
		decision := d.front.Handle(d.now, testPaths[to], data[:t.SegmentSize], d.reply, false)
		if decision.Kind != NewAttempt {
			d.b.Fatalf("the demux says %v", decision.Reason)
		}
		c, err := NewServer(d.now, d.cfg[to], decision.Accept)
		if err != nil {
			d.b.Fatal(err)
		}
		d.conn[to] = c
	}
	d.conn[to].Receive(d.now, Inbound{Path: testPaths[to], ECN: t.ECN, Data: data, SegmentSize: t.SegmentSize})
}

// tlsDuet is a duet of crypto/tls alone.
type tlsDuet struct {
	*turns
	b      *testing.B
	cfg    [2]*tls.Config
	conn   [2]*tls.QUICConn
	done   [2]bool
	inbox  [2][]tls.QUICEvent // what a side is to be given
	arena  []byte             // in which the data of those lie
	params []byte
}

func (d *tlsDuet) handshake() {
	d.conn = [2]*tls.QUICConn{Client: tls.QUICClient(&tls.QUICConfig{TLSConfig: d.cfg[Client]})}
	d.done, d.arena = [2]bool{}, d.arena[:0]
	d.conn[Client].SetTransportParameters(d.params)
	d.check(d.conn[Client].Start(context.Background()))
	d.pass(Client)
	d.turns.server()
	d.conn[Server] = tls.QUICServer(&tls.QUICConfig{TLSConfig: d.cfg[Server]})
	d.check(d.conn[Server].Start(context.Background()))
	d.pass(Server)
	d.turns.client()
	d.pass(Client)
	d.turns.server()
	d.pass(Server)
	d.turns.client()
	d.pass(Client) // the ticket
	if !d.done[Client] || !d.done[Server] {
		d.b.Fatal("the handshake is not complete")
	}
	d.turns.server() // for b.Loop
}

func (d *tlsDuet) check(err error) {
	if err != nil {
		d.b.Fatal(err)
	}
}

// pass gives side what the other has sent, and takes what it sends.
func (d *tlsDuet) pass(side Side) {
	c := d.conn[side]
	for _, m := range d.inbox[side] {
		d.check(c.HandleData(m.Level, m.Data))
		d.events(side, c)
	}
	d.inbox[side] = d.inbox[side][:0]
	d.events(side, c)
}

func (d *tlsDuet) events(side Side, c *tls.QUICConn) {
	for e := c.NextEvent(); e.Kind != tls.QUICNoEvent; e = c.NextEvent() {
		switch e.Kind {
		case tls.QUICWriteData:
			n := len(d.arena)
			d.arena = append(d.arena, e.Data...)
			e.Data = d.arena[n:]
			d.inbox[side.Peer()] = append(d.inbox[side.Peer()], e)
		case tls.QUICTransportParametersRequired:
			c.SetTransportParameters(d.params)
		case tls.QUICHandshakeDone:
			d.done[side] = true
			if side == Server {
				d.check(c.SendSessionTicket(tls.QUICSessionTicketOptions{}))
			}
		}
	}
}
