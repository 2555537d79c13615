package udp

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestConduit(t *testing.T) {
	var sent [][]byte
	local, remote := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	fault := errors.New("no way")
	c, err := NewConduit(ConduitConfig{Local: local, QueueBytes: 10 + 3*conduitOverhead, Send: func(d Datagrams) error {
		if d.Local != local.Addr() || d.SegmentSize != 0 {
			t.Errorf("sent: %+v", d)
		}
		if d.Remote != remote {
			return fault
		}
		sent = append(sent, append([]byte(nil), d.Buf...))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []ConduitConfig{{}, {Local: local}, {Send: func(Datagrams) error { return nil }}} {
		if _, err := NewConduit(bad); err == nil {
			t.Errorf("a conduit of %+v", bad)
		}
	}

	// In.
	deliver := func(s string) bool {
		return c.Deliver(Message{Buf: []byte(s), N: len(s), Remote: netip.MustParseAddrPort("[::ffff:192.0.2.2]:2"), ECN: 2})
	}
	if !deliver("one") || !deliver("two") || !deliver("four") || deliver("x") {
		t.Error("the bound of 10 bytes in three datagrams does not hold")
	}
	msgs := []Message{{Buf: make([]byte, 100)}, {Buf: make([]byte, 100)}}
	var got []string
	for len(got) < 3 {
		n, err := c.ReadBatch(msgs)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs[:n] {
			if m.Local != local || m.Remote != remote || m.ECN != 2 || m.Received.IsZero() {
				t.Errorf("read %+v", m)
			}
			got = append(got, string(m.Buf[:m.N]))
		}
	}
	if got[0] != "one" || got[1] != "two" || got[2] != "four" || !deliver("0123456789") {
		t.Errorf("read %q", got)
	}

	// Out, segment by segment.
	if err := c.Send(Datagrams{Buf: []byte("aabbc"), SegmentSize: 2, Remote: remote}); err != nil || len(sent) != 3 || string(sent[2]) != "c" {
		t.Errorf("sent %q, %v", sent, err)
	}
	if err := c.Send(Datagrams{Buf: []byte("a")}); !errors.Is(err, fault) {
		t.Error("not sent, but ", err)
	}
	if st := c.Stats(); st.DatagramsReceived != 3 || st.DatagramsSent != 3 || st.ReceiveDrops != 1 {
		t.Errorf("%+v", st)
	}

	c.Close()
	for _, err := range []error{c.Close(), c.Send(Datagrams{Remote: remote}), func() error { _, err := c.ReadBatch(msgs); return err }()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Error("closed, but ", err)
		}
	}
	if deliver("late") {
		t.Error("delivered to a closed conduit")
	}
}

// TestConduitKeepsOrder reads less than there is, again and again.
func TestConduitKeepsOrder(t *testing.T) {
	c, err := NewConduit(ConduitConfig{Local: netip.MustParseAddrPort("192.0.2.1:1"), Send: func(Datagrams) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	msgs := []Message{{Buf: make([]byte, 1)}, {Buf: make([]byte, 1)}, {Buf: make([]byte, 1)}}
	var in, out byte
	for round := range 200 {
		for range round % 7 {
			if !c.Deliver(Message{Buf: []byte{in}, N: 1}) {
				t.Fatal("no room")
			}
			in++
		}
		if in == out {
			continue
		}
		n, err := c.ReadBatch(msgs)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs[:n] {
			if m.N != 1 || m.Buf[0] != out {
				t.Fatalf("read %v, want %d", m.Buf[:m.N], out)
			}
			out++
		}
		for _, q := range c.queue[:c.head] {
			if q.store != nil {
				t.Fatal("memory of what was read is kept")
			}
		}
		for _, q := range c.queue[len(c.queue):cap(c.queue)] {
			if q.store != nil {
				t.Fatal("memory of what was moved is kept")
			}
		}
	}
}
