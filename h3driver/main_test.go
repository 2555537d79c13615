package h3driver

import (
	"context"
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/leakcheck"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

var testCertificate, testRoots = testcert.Get()

// options change what newPair makes.
type options struct {
	server, client         Config
	serverQUIC, clientQUIC quic.Config
	early                  func(*ServerController) // called before OnEstablished
	virtual                bool                    // a link in memory, for one connection under testing/synctest
}

// pair is a client's connection to a server, on real sockets unless the options say otherwise.
type pair struct {
	link    udp.Socket // the client's end, if there is one
	addr    netip.AddrPort
	client  *ClientController
	server  *ServerController
	servers chan *ServerController // of further connections

	listener *engine.Listener
	sessions tls.ClientSessionCache // of clients; may be nil
}

func listen(t *testing.T, o *options) *pair {
	t.Helper()
	p := &pair{servers: make(chan *ServerController, 10)}
	q := o.serverQUIC
	q.TLS = &tls.Config{Certificates: []tls.Certificate{testCertificate}, NextProtos: []string{h3.NextProto}}
	var socket udp.Socket
	var err error
	if o.virtual {
		p.link, socket = newLink(func() bool { return false })
	} else if socket, err = udp.Listen("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	e, err := engine.NewEndpoint(nil, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	l, err := e.Listen(&engine.ListenConfig{
		QUIC:       &q,
		EarlyStart: q.EarlyData,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			driver := NewServer(&o.server)
			if o.early != nil {
				o.early(driver.Controller())
			}
			p.servers <- driver.Controller()
			return driver, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.addr, p.listener = l.Addr(), l
	return p
}

// dial connects an application to the server.
func (p *pair) dial(t *testing.T, q quic.Config, app engine.ApplicationOverQUIC) *engine.Connection {
	t.Helper()
	socket := p.link
	if socket == nil {
		var err error
		if socket, err = udp.Listen("127.0.0.1:0", nil); err != nil {
			t.Fatal(err)
		}
	}
	e, err := engine.NewEndpoint(nil, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	q.TLS = &tls.Config{RootCAs: testRoots, ServerName: "127.0.0.1", NextProtos: []string{h3.NextProto}, ClientSessionCache: p.sessions}
	c, err := e.Dial(testContext(t), p.addr, &engine.DialConfig{
		QUIC:           &q,
		EarlyStart:     q.EarlyData,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return app, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newPair makes a connection. o may be nil.
func newPair(t *testing.T, o *options) *pair {
	t.Helper()
	if o == nil {
		o = &options{}
	}
	p := listen(t, o)
	driver := NewClient(&o.client)
	p.dial(t, o.clientQUIC, driver)
	p.client = driver.Controller()
	p.server = <-p.servers
	return p
}

// testContext bounds everything that a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// next returns the next event of a kind and fails on others, but for those that come at any time.
func next(t *testing.T, c interface {
	NextEvent(context.Context) (Event, error)
}, kind EventKind) Event {
	t.Helper()
	for {
		ev, err := c.NextEvent(testContext(t))
		if err != nil {
			t.Fatalf("waiting for %v: %v", kind, err)
		}
		switch {
		case ev.Kind == kind:
			return ev
		case ev.Kind == EventEstablished || ev.Kind == EventHandshakeComplete || ev.Kind == EventSettings || ev.Kind == EventStreamClosed:
		default:
			t.Fatalf("event %v (%v), want %v", ev.Kind, ev.Err, kind)
		}
	}
}

var (
	getFields  = []h3.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "127.0.0.1"}, {Name: ":path", Value: "/"}}
	postFields = []h3.Field{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "127.0.0.1"}, {Name: ":path", Value: "/"}}
	okFields   = []h3.Field{{Name: ":status", Value: "200"}}
)

// open opens a request and returns both ends of its stream.
func (p *pair) open(t *testing.T, part Part) (client, server *Stream) {
	t.Helper()
	s, err := p.client.OpenRequest(testContext(t), part, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, next(t, p.server, EventHeaders).Stream
}
