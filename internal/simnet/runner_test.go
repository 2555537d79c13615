package simnet

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

var seeds = flag.Int("simnet.seeds", 2, "how many seeds to run the interop runner's cases with")

// The QUIC interop runner (https://github.com/quic-interop/quic-interop-runner) has a client fetch files from a server over
// a simulated link, and then looks into captures of both sides. Here are its cases, on its links, with its conditions,
// which an [Observer] checks. What it has a server send, it has a client send as well.
//
// chacha20 is not among them: it wants a client that offers no other cipher suite, and crypto/tls offers all that it has.
// Package interop runs with ChaCha20-Poly1305.

const (
	kB = 1 << 10
	mB = 1 << 20
)

// runnerLink is the link of every case that does not name another.
var runnerLink = Link{Delay: 15 * ms, Rate: 10e6, Queue: 25}

// A runnerCase is one of the interop runner's cases.
type runnerCase struct {
	name string
	// files are the sizes of what is transferred, by connection. All of a connection go at once, a connection begins when
	// the one before is done.
	files [][]uint64
	// limit is how long it may take. Default: a minute.
	limit time.Duration
	// setup changes what is not the default.
	setup func(r *runnerRun)
	// heavy: it takes long, and leaves little to chance, so that half of the seeds will do.
	heavy bool
	// check is what must be seen besides what is checked of every case.
	check func(r *runnerRun)
}

// runnerRun is one run of a case.
type runnerRun struct {
	*World
	t          *testing.T
	c          *runnerCase
	up         bool // the client sends the files
	cc         quic.CongestionControl
	trace      *trace
	link       Link
	ccfg       *quic.Config
	scfg       *quic.Config
	demux      quic.DemuxConfig
	request    uint64 // size of what asks for a file
	retry      bool   // a Retry is expected
	version    quic.Version
	server     *Server
	clients    []*Client
	apps       []*Transfer
	answers    []*Transfer
	finished   time.Duration
	preferred  netip.AddrPort // another address of the server
	newApp     func() App     // the server's applications; nil for answers
	afterwards func()         // called when all is done
}

func TestInteropRunner(t *testing.T) {
	for _, c := range runnerCases {
		t.Run(c.name, func(t *testing.T) {
			seeds := uint64(*seeds)
			if c.heavy {
				seeds = (seeds + 1) / 2
			}
			for _, up := range []bool{false, true} {
				for _, cc := range []quic.CongestionControl{quic.NewReno, quic.CUBIC, quic.BBR} {
					for seed := range seeds {
						t.Run(fmt.Sprintf("%s/%s/%d", downOrUp(up), controllerName(cc), seed), func(t *testing.T) {
							newRunnerRun(t, &c, up, cc, seed).run()
						})
					}
				}
			}
		})
	}
}

func downOrUp(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func controllerName(cc quic.CongestionControl) string {
	switch cc {
	case quic.NewReno:
		return "NewReno"
	case quic.BBR:
		return "BBR"
	}
	return "CUBIC"
}

func newRunnerRun(t *testing.T, c *runnerCase, up bool, cc quic.CongestionControl, seed uint64) *runnerRun {
	w := virtually(t, seed)
	r := &runnerRun{
		World: w, t: t, c: c, up: up, cc: cc, trace: w.observe(t), link: runnerLink, request: header, version: quic.Version1,
	}
	r.ccfg, r.scfg = w.configs()
	r.ccfg.CongestionControl, r.scfg.CongestionControl = cc, cc
	r.ccfg.TLS.KeyLogWriter, r.scfg.TLS.KeyLogWriter = &r.trace.Observer, &r.trace.Observer
	r.demux = quic.DemuxConfig{StatelessResetKey: &[32]byte{1}, Rand: w}
	r.scfg.StatelessResetKey = r.demux.StatelessResetKey
	if c.setup != nil {
		c.setup(r)
	}
	return r
}

// begin makes the server.
func (r *runnerRun) begin() {
	demux, err := quic.NewDemux(r.demux)
	if err != nil {
		r.t.Fatal(err)
	}
	scfg, err := r.scfg.Resolve()
	if err != nil {
		r.t.Fatal(err)
	}
	r.Link(r.link)
	if r.newApp == nil {
		r.newApp = func() App {
			r.answers = append(r.answers, &Transfer{})
			return r.answers[len(r.answers)-1]
		}
	}
	r.server = r.NewServer(scfg, demux, r.newApp)
	r.trace.server = r.server.Addr
	if r.preferred.IsValid() {
		r.server.AlsoAt(r.preferred)
	}
}

// connect begins the next connection, and those after it when it is done.
func (r *runnerRun) connect() {
	n := len(r.clients)
	if n == len(r.c.files) {
		return
	}
	app := &Transfer{CloseWhenDone: true}
	for _, size := range r.c.files[n] {
		s := TransferStream{Size: r.request, Reply: size}
		if r.up {
			s = TransferStream{Size: size, Reply: header}
		}
		app.Open = append(app.Open, s)
	}
	client, err := r.NewClient(r.ccfg, r.server, app)
	if err != nil {
		r.t.Fatal(err)
	}
	r.clients, r.apps = append(r.clients, client), append(r.apps, app)
}

func (r *runnerRun) run() {
	r.begin()
	r.connect()
	limit := r.c.limit
	if limit == 0 {
		limit = time.Minute
	}
	r.Stalled = func() string { return r.apps[len(r.apps)-1].String() }
	for i := range r.c.files {
		err := r.RunUntil(limit, func() bool { return r.apps[i].Done || r.clients[i].Closed })
		if r.trace.falseVersions && !r.apps[i].Done && r.clients[i].Closed {
			// RFC 9000, Section 6.2, and RFC 9368, Section 4: whoever reads that has to give up.
			r.t.Skipf("connection %d ended with %v, after a Version Negotiation packet was damaged", i, r.clients[i].Err)
		}
		if err != nil || !r.apps[i].Done {
			r.t.Fatalf("connection %d: %v, ended with %v", i, err, r.clients[i].Err)
		}
		r.connect()
	}
	if r.finished = r.Now().Sub(beginning); r.finished > limit {
		r.t.Errorf("took %v, more than %v", r.finished, limit)
	}
	if r.afterwards != nil {
		r.afterwards()
	}
	if err := r.Run(forever); err != nil {
		r.t.Fatal(err)
	}
	r.always()
	if r.c.check != nil {
		r.c.check(r)
	}
}

// always checks what must be true of every case.
func (r *runnerRun) always() {
	t, tr := r.t, r.trace
	if got, want := len(tr.handshakes), len(r.c.files); got != want {
		t.Errorf("%d handshakes, want %d", got, want)
	}
	if r.version != 0 && !just(tr.versions[quic.Server][wire.Initial], r.version) {
		t.Errorf("the server answered in versions %v", tr.versions[quic.Server][wire.Initial])
	}
	// A damaged packet may look like one of another version, or for another connection.
	if damaged := r.link.Corrupt > 0; !damaged {
		if len(tr.versions[quic.Server][wire.VersionNegotiation]) > 0 {
			t.Error("a Version Negotiation packet was sent")
		}
		if tr.Unknown > 0 {
			t.Errorf("%d packets to unknown connection IDs", tr.Unknown)
		}
	}
	if got := len(tr.retryToken) > 0; got != r.retry {
		t.Errorf("Retry seen: %v", got)
	}
	if tr.pnReset {
		t.Error("after a Retry the client began again with packet number 0")
	}
	if tr.otherClose != "" {
		t.Errorf("a connection ended with %v", tr.otherClose)
	}
	for i, app := range r.answers {
		if i < len(r.c.files) && app.FromPeer != len(r.c.files[i]) {
			t.Errorf("connection %d: the server got %d streams of %d", i, app.FromPeer, len(r.c.files[i]))
		}
	}
}

// lossy is a link that loses, or damages, a share of datagrams, but at most three in a row.
func lossy(loss, corrupt float64) Link {
	l := runnerLink
	l.Loss, l.Corrupt, l.MaxBurst = loss, corrupt, 3
	return l
}

func repeat[T any](n int, v T) []T { return slices.Repeat([]T{v}, n) }

var runnerCases = []runnerCase{
	{name: "handshake", files: [][]uint64{{kB}}},
	{
		name: "transfer", files: [][]uint64{{2 * mB, 3 * mB, 5 * mB}},
		// Small windows, which must grow.
		setup: func(r *runnerRun) {
			for _, cfg := range []*quic.Config{r.ccfg, r.scfg} {
				cfg.StreamWindow, cfg.ConnWindow = 64*kB, 96*kB
			}
		},
	},
	{
		name: "longrtt", files: [][]uint64{{kB}},
		setup: func(r *runnerRun) { r.link.Delay = 750 * ms },
		check: func(r *runnerRun) {
			// The round trip takes longer than the first probe timeout.
			if n := r.trace.Flows()[0].ClientHellos; n < 2 {
				r.t.Errorf("%d ClientHellos, want at least 2", n)
			}
		},
	},
	{
		name: "multiplexing", files: [][]uint64{repeat(1999, uint64(32))},
		check: func(r *runnerRun) {
			tp := r.trace.Flows()[0].Parameters
			if tp == nil || tp.InitialMaxStreamsBidi > 1000 {
				r.t.Errorf("the server's transport parameters are %+v", tp)
			}
		},
	},
	{
		name: "retry", files: [][]uint64{{10 * kB}},
		setup: func(r *runnerRun) { r.demux.Retry, r.retry = quic.RetryAlways, true },
		check: func(r *runnerRun) {
			if !r.trace.tokenUsed {
				r.t.Error("no Initial packet has the token of a Retry packet")
			}
		},
	},
	{
		name: "resumption", files: [][]uint64{{5 * kB}, {10 * kB}},
		setup: func(r *runnerRun) { r.ccfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1) },
		check: func(r *runnerRun) {
			for i, f := range r.trace.Flows() {
				if got, want := slices.Contains(f.Messages, tlsCertificate), i == 0; got != want || len(f.Messages) == 0 {
					r.t.Errorf("connection %d: the server sent the messages %v", i, f.Messages)
				}
			}
		},
	},
	{
		name: "zerortt", files: [][]uint64{{32}, repeat(39, uint64(32))},
		setup: func(r *runnerRun) {
			r.ccfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			r.ccfg.EarlyData, r.scfg.EarlyData = true, true
			r.request = 250 // the length of a file's name
		},
		check: func(r *runnerRun) {
			sent := r.trace.payload[r.trace.Flows()[1]][quic.Client]
			if most := 40 * 250 / 2; sent[wire.ZeroRTT] == 0 || sent[wire.OneRTT] > most {
				r.t.Errorf("the client sent %d bytes in 0-RTT packets, %d in 1-RTT packets", sent[wire.ZeroRTT], sent[wire.OneRTT])
			}
		},
	},
	{name: "blackhole", files: [][]uint64{{10 * mB}}, setup: blackhole},
	{
		name: "keyupdate", files: [][]uint64{{3 * mB}},
		// In the first megabyte, started by who receives the file, or else by who sends it.
		setup: func(r *runnerRun) {
			r.After(400*ms, func() {
				p := &r.clients[0].Peer
				if r.cc == quic.NewReno {
					p = r.server.Peers()[0]
				}
				if !p.Conn.InitiateKeyUpdate() {
					r.t.Error("no key update was possible")
				}
				p.Pump()
			})
		},
		check: func(r *runnerRun) {
			if got := r.trace.phases; got[quic.Client][0]*got[quic.Client][1]*got[quic.Server][0]*got[quic.Server][1] == 0 {
				r.t.Errorf("packets by key phase: %v", got)
			}
			if r.trace.updates != 1 {
				r.t.Errorf("%d key updates", r.trace.updates)
			}
		},
	},
	{
		name: "ecn", files: [][]uint64{{100 * kB}},
		check: func(r *runnerRun) {
			for _, side := range []quic.Side{quic.Client, quic.Server} {
				if m := r.trace.marks[side]; m[quic.ECT0] == 0 || m[quic.ECT1]+m[quic.CE] > 0 {
					r.t.Errorf("marks of the %v: %v", side, m)
				}
				if !r.trace.ackECN[side] {
					r.t.Errorf("no ACK frame of the %v has ECN counts", side)
				}
			}
		},
	},
	{
		name: "amplificationlimit", files: [][]uint64{{5 * kB}},
		setup: func(r *runnerRun) {
			cert, root := longChain()
			r.scfg.TLS.Certificates = []tls.Certificate{cert}
			r.ccfg.TLS.RootCAs = root
			r.After(0, func() {
				l := r.link
				l.Drop = func(n uint64) bool { return n >= 2 && n <= 7 }
				r.LinkTo(r.server.Addr, l)
			})
		},
		check: func(r *runnerRun) {
			// That the limit is kept is checked with every datagram.
			if n := r.trace.Flows()[0].HandshakeBytes; n < 7500 {
				r.t.Errorf("the server's flight has %d bytes only", n)
			}
			if n := r.LinkStats(r.clients[0].Addr, r.server.Addr).Lost; n != 6 {
				r.t.Errorf("%d datagrams to the server were dropped", n)
			}
		},
	},
	{
		name: "handshakeloss", files: repeat(50, []uint64{kB}), limit: 300 * time.Second,
		setup: func(r *runnerRun) { r.link = lossy(0.30, 0) },
	},
	{
		name: "handshakecorruption", files: repeat(50, []uint64{kB}), limit: 300 * time.Second,
		setup: func(r *runnerRun) { r.link = lossy(0, 0.30) },
	},
	{name: "transferloss", files: [][]uint64{{2 * mB}}, setup: func(r *runnerRun) { r.link = lossy(0.02, 0) }},
	{name: "transfercorruption", files: [][]uint64{{2 * mB}}, setup: func(r *runnerRun) { r.link = lossy(0, 0.02) }},
	{
		name: "ipv6", files: [][]uint64{{5 * kB, 10 * kB}},
		setup: func(r *runnerRun) { r.IPv6 = true },
		check: func(r *runnerRun) {
			for addr := range r.trace.addrs {
				if !addr.Is6() {
					r.t.Errorf("%v was used", addr)
				}
			}
		},
	},
	{
		name: "v2", files: [][]uint64{{kB}},
		setup: func(r *runnerRun) {
			r.version = 0
			r.ccfg.Versions = []quic.Version{quic.Version2, quic.Version1}
			r.ccfg.OriginalVersion = quic.Version1
		},
		check: func(r *runnerRun) {
			v := r.trace.versions
			if !v[quic.Client][wire.Initial][quic.Version1] || !v[quic.Server][wire.Initial][quic.Version2] ||
				!just(v[quic.Client][wire.Handshake], quic.Version2) || !just(v[quic.Server][wire.Handshake], quic.Version2) {
				r.t.Errorf("versions by side and packet type: %v", v)
			}
		},
	},
	{
		name: "rebind-port", files: [][]uint64{{10 * mB}},
		setup: func(r *runnerRun) { r.every(time.Second, 5*time.Second, func() { r.clients[0].Rebind() }) },
		check: rebound,
	},
	{
		name: "rebind-addr", files: [][]uint64{{10 * mB}},
		setup: func(r *runnerRun) { r.every(time.Second, 5*time.Second, func() { r.clients[0].Roam() }) },
		check: func(r *runnerRun) {
			if len(r.trace.addrs) < 3 {
				r.t.Errorf("only the addresses %v were used", r.trace.addrs)
			}
			rebound(r)
		},
	},
	{
		name: "connectionmigration", files: [][]uint64{{2 * mB}},
		setup: func(r *runnerRun) {
			r.preferred = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, 1}), 443)
			r.scfg.PreferredAddress = quic.PreferredAddress{IPv4: r.preferred}
		},
		check: func(r *runnerRun) {
			rebound(r)
			if len(r.trace.reused) > 0 {
				r.t.Errorf("the client kept its connection ID on %v", r.trace.reused)
			}
			if n := r.LinkStats(r.clients[0].Addr, r.preferred).Bytes; n < 10*kB {
				r.t.Errorf("%d bytes were sent to the preferred address", n)
			}
		},
	},
	{
		name: "goodput", files: [][]uint64{{10 * mB}},
		check: func(r *runnerRun) {
			if got := r.goodput(); got < 9.2 {
				r.t.Errorf("goodput %.2f Mbit/s of 10", got)
			}
		},
	},
	{
		name: "crosstraffic", files: [][]uint64{{25 * mB}}, limit: 180 * time.Second, heavy: true, setup: crossTraffic,
		check: func(r *runnerRun) {
			// A fair half is 5, of which headers take 4 %; BBR takes more where the queue is short, with a hundred seeds up to 7.52.
			if got := r.goodput(); got < 3 || got > 7.7 {
				r.t.Errorf("goodput %.2f Mbit/s of 10, beside another connection", got)
			}
		},
	},
}

// blackhole lets nothing pass for two seconds after five.
func blackhole(r *runnerRun) {
	link := r.link
	link.Down = true
	r.After(5*time.Second, func() { r.Link(link) })
	r.After(7*time.Second, func() { r.Link(r.link) })
}

// every calls f first after one time, and then as often as another time passes until all is done.
func (r *runnerRun) every(first, then time.Duration, f func()) {
	r.After(first, func() {
		if !r.clients[0].Closed {
			f()
			r.every(then, then, f)
		}
	})
}

// rebound checks that the server found the client on more than one path, that it began to send on every new one with
// a PATH_CHALLENGE, and that each of those was answered.
func rebound(r *runnerRun) {
	if len(r.trace.routes) < 4 {
		r.t.Errorf("only these paths were used: %v", r.trace.routes)
	}
	if len(r.trace.unasked) > 0 {
		r.t.Errorf("the first packets to %v had no PATH_CHALLENGE", r.trace.unasked)
	}
	for data := range r.trace.challenges {
		if !r.trace.answers[data] {
			r.t.Errorf("PATH_CHALLENGE %x without a PATH_RESPONSE", data)
		}
	}
}

// goodput returns at what rate the files went, in Mbit/s, from the first 1-RTT packet of their sender to the last.
func (r *runnerRun) goodput() float64 {
	from := quic.Server
	if r.up {
		from = quic.Client
	}
	span := r.trace.span[r.trace.Flows()[0]][from]
	got := float64(r.c.files[0][0]) * 8 / 1e6 / span[1].Sub(span[0]).Seconds()
	r.t.Logf("goodput %.2f Mbit/s", got)
	return got
}

// crossTraffic has a connection with CUBIC share the link, in the direction of the files. The interop runner takes TCP's
// CUBIC, which is the same by the RFC.
func crossTraffic(r *runnerRun) {
	_, tls := r.TLS()
	demux, err := quic.NewDemux(quic.DemuxConfig{Rand: r})
	if err != nil {
		r.t.Fatal(err)
	}
	server := r.NewServer(&quic.Config{TLS: tls, Rand: r}, demux, func() App { return &Transfer{} })
	r.trace.Ignore = map[netip.AddrPort]bool{server.Addr: true}
	r.After(0, func() {
		transfer := download(1e9)
		if r.up {
			transfer = upload(1e9)
		}
		tls, _ := r.TLS()
		other, err := r.NewClient(&quic.Config{TLS: tls, Rand: r}, server, transfer)
		if err != nil {
			r.t.Fatal(err)
		}
		r.afterwards = func() {
			other.Conn.Close(r.Now(), nil)
			other.Pump()
		}
		pairs := [][2]netip.AddrPort{{r.server.Addr, r.clients[0].Addr}, {server.Addr, other.Addr}}
		if r.up {
			pairs = [][2]netip.AddrPort{{r.clients[0].Addr, r.server.Addr}, {other.Addr, server.Addr}}
		}
		r.LinkShared(r.link, pairs...)
	})
}

// longChain returns a chain of nine certificates, the leaf with many names, and the root that it leads to.
var longChain = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	const n = 9
	var names []string
	for i := range 20 {
		label := fmt.Sprintf("%02d%s", i, strings.Repeat("n", 58))
		names = append(names, strings.Join([]string{label, label, label, label}, "."))
	}
	var chain tls.Certificate
	roots := x509.NewCertPool()
	parent := &x509.Certificate{}
	var parentKey ed25519.PrivateKey
	for i := range n + 1 { // the root itself is not sent
		key := ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("the key number %02d of a long chain", i))[:ed25519.SeedSize])
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("certificate %d", i)},
			NotBefore: beginning.Add(-time.Hour), NotAfter: beginning.Add(365 * 24 * time.Hour),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: i < n,
		}
		if i == n {
			template.DNSNames = append([]string{ServerName}, names...)
		}
		if i == 0 {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(nil, template, parent, key.Public(), parentKey)
		if err != nil {
			panic(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		if i == 0 {
			roots.AddCert(cert)
		} else {
			chain.Certificate = slices.Insert(chain.Certificate, 0, der)
		}
		chain.PrivateKey, chain.Leaf = key, cert
		parent, parentKey = cert, key
	}
	return chain, roots
})
