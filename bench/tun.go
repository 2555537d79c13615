package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A tunLink is a path between two network namespaces: a TUN device at each end, and this program between them, which delays
// packets, lets no more of them pass than a rate allows, and loses some. A namespace belongs to a child process and
// vanishes with it.
type tunLink struct {
	path pathModel
	ends [2]*tunDevice
	// done is closed by Close.
	done chan struct{}
}

// pathModel is how a tunLink treats packets, in each direction on its own.
type pathModel struct {
	delay time.Duration // one way
	rate  float64       // bit/s of IP packets
	queue int           // bytes of packets that may wait for the rate
	loss  float64       // probability that a packet is lost
	seed  uint64
}

// The ends of a tunLink as they see themselves.
var tunAddrs = [2]string{"10.99.0.1", "10.99.0.2"}

const tunMTU = 1500

// canTun says why there can be no tunLink here.
func canTun() error {
	if os.Geteuid() != 0 {
		return errors.New("making network devices needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("the program ip (of iproute2) is missing")
	}
	d, err := openTun()
	if err != nil {
		return err
	}
	return d.Close()
}

// A tunDevice is the program's end of a TUN device: what is read from it the system has sent there, what is written to it the
// system receives.
type tunDevice struct {
	*os.File
	name string
}

func openTun() (*tunDevice, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	req, err := unix.NewIfreq("dunlin%d") // the system fills in the number
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making a TUN device: %w", err)
	}
	return &tunDevice{os.NewFile(uintptr(fd), "/dev/net/tun"), req.Name()}, nil
}

// newTunLink makes the devices. They carry nothing until they have been given away.
func newTunLink(m pathModel) (*tunLink, error) {
	l := &tunLink{path: m, done: make(chan struct{})}
	for i := range l.ends {
		d, err := openTun()
		if err != nil {
			l.Close()
			return nil, err
		}
		l.ends[i] = d
	}
	return l, nil
}

// give moves one end into the network namespace of a process, which configures it (see child.enterNetwork).
func (l *tunLink) give(end, pid int) error {
	return ip("link", "set", "dev", l.ends[end].name, "netns", fmt.Sprint(pid))
}

// run carries packets in both directions until Close.
func (l *tunLink) run() {
	go l.carry(l.ends[0], l.ends[1], 0)
	go l.carry(l.ends[1], l.ends[0], 1)
}

// Close ends the link. The devices vanish.
func (l *tunLink) Close() {
	close(l.done)
	for _, d := range l.ends {
		if d != nil {
			d.Close()
		}
	}
}

// tunPacket is a packet on its way.
type tunPacket struct {
	data    []byte
	arrives time.Time
}

// carry takes packets from one device to the other.
func (l *tunLink) carry(from, to *tunDevice, direction uint64) {
	rng := rand.New(rand.NewPCG(l.path.seed, direction))
	var (
		waiting atomic.Int64                  // bytes that wait for the rate, an upper bound
		free    time.Time                     // when the rate allows the next packet to leave
		packets = make(chan tunPacket, 1<<14) // far more than the path holds
		perByte = float64(time.Second) / l.path.rate * 8
	)
	defer close(packets)
	go func() {
		for p := range packets {
			if d := time.Until(p.arrives); d > 0 {
				time.Sleep(d)
			}
			waiting.Add(-int64(len(p.data)))
			if _, err := to.Write(p.data); err != nil && errors.Is(err, os.ErrClosed) {
				return
			}
		}
	}()
	inFlight := int64(l.path.rate / 8 * l.path.delay.Seconds())
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		// Neighbour discovery of IPv6 would use up chance.
		if n == 0 || buf[0]>>4 != 4 || rng.Float64() < l.path.loss || waiting.Load()+int64(n) > inFlight+int64(l.path.queue) {
			continue
		}
		waiting.Add(int64(n))
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		free = free.Add(time.Duration(float64(n) * perByte))
		select {
		case packets <- tunPacket{append([]byte(nil), buf[:n]...), free.Add(l.path.delay)}:
		case <-l.done:
			return
		}
	}
}

// ip runs the program of that name.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

// ownNetwork lets a child begin in a network namespace of its own.
var ownNetwork = syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}

// enterNetwork configures the end of a tunLink that a child is given: it waits for a line on standard input, before which its
// parent has moved the device here.
func (c *child) enterNetwork() error {
	if c.tun == "" {
		return nil
	}
	for b := []byte{0}; b[0] != '\n'; {
		// Byte by byte, so that what follows the line is left to who reads on.
		if _, err := os.Stdin.Read(b); err != nil {
			return fmt.Errorf("waiting for the network: %w", err)
		}
	}
	for _, args := range [][]string{
		{"addr", "add", c.host + "/24", "dev", c.tun},
		{"link", "set", "dev", c.tun, "mtu", fmt.Sprint(tunMTU), "txqueuelen", "1000", "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}
