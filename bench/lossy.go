package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The work lossy moves bytes through a path that loses one packet in a hundred in each direction, of 100 Mbit/s and 50 ms
// there and back, with a queue of as many bytes as the path itself holds. Which packets are lost, by their index, follows from
// the number of the run, so that all peers meet the same chance. Kernel TCP takes part once for each of its congestion
// controls. Some hundred losses bring a run's mean to within some percent; what remains is met by more runs than other works
// have, many at once: they wait for the path and hardly use a processor.
var lossyPath = pathModel{delay: 25 * time.Millisecond, rate: 100e6, queue: 100e6 / 8 * 50 / 1000, loss: 0.01}

const (
	lossyRuns   = 2  // times as many as of other works
	lossyAtOnce = 20 // transfers, each on a path of its own
)

func init() {
	rawPeers["tcp-cubic"] = tcp{"cubic"}
	rawPeers["tcp-reno"] = tcp{"reno"}
}

// tcp is TLS over TCP with a congestion control of choice.
type tcp struct{ congestion string }

func (t tcp) control(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, t.congestion)
	}); e != nil {
		return e
	}
	return err
}

func (t tcp) serve(cfg serverConfig) (string, error) {
	lc := net.ListenConfig{Control: t.control}
	l, err := lc.Listen(context.Background(), "tcp", cfg.addr)
	if err != nil {
		return "", err
	}
	serveTLS(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cfg.cert}, MinVersion: tls.VersionTLS13}))
	return l.Addr().String(), nil
}

func (t tcp) dial(ctx context.Context, addr string, cfg *tls.Config) (rawConn, error) {
	return dialTLS(ctx, net.Dialer{Control: t.control}, addr, cfg)
}

// measureLossy is measure for two processes in network namespaces of their own.
func (r *run) measureLossy() ([]sample, error) {
	path := lossyPath
	path.seed = uint64(r.number) + 1
	link, err := newTunLink(path)
	if err != nil {
		return nil, err
	}
	defer link.Close()
	begin := func(end int, role string, more ...string) (*process, error) {
		more = append(more, "-tun", link.ends[end].name, "-host", tunAddrs[end])
		p, err := start(&ownNetwork, r.args(role, more...)...)
		if err != nil {
			return nil, err
		}
		if err = link.give(end, p.cmd.Process.Pid); err == nil {
			_, err = io.WriteString(p.in, "go\n")
		}
		if err != nil {
			p.stop()
		}
		return p, err
	}
	link.run()
	server, err := begin(0, "server")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	addr, err := server.address()
	if err != nil {
		return nil, err
	}
	client, err := begin(1, "client", "-addr", addr)
	if err != nil {
		return nil, err
	}
	defer client.stop()
	return follow(client, server)
}
