package httpsdns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// question is what is asked of every server.
type question struct {
	name dnsmessage.Name
}

func newQuestion(name string) (*question, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, fmt.Errorf("httpsdns: %q is no domain name: %w", name, err)
	}
	return &question{n}, nil
}

// udpPayload is how long an answer over UDP may be (RFC 6891, Section 6.2.3): what nearly every path carries in one piece.
const (
	udpPayload = 1232
	udpBuffer  = 4096 // for servers that do not keep to it
)

// pack makes a message, with two bytes before it for its length over TCP.
func (q *question) pack(id uint16) ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 2, 512), dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: q.name, Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	if err := b.StartAdditionals(); err != nil {
		return nil, err
	}
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(udpPayload, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	if err := b.OPTResource(opt, dnsmessage.OPTResource{}); err != nil {
		return nil, err
	}
	return b.Finish()
}

// answers reports whether m is an answer to the question with that ID: whoever can't see the question has to guess that, and the
// port that it came from (RFC 5452).
func (q *question) answers(m []byte, id uint16) bool {
	var p dnsmessage.Parser
	h, err := p.Start(m)
	if err != nil || !h.Response || h.ID != id {
		return false
	}
	asked, err := p.Question()
	if err != nil || asked.Type != dnsmessage.TypeHTTPS || asked.Class != dnsmessage.ClassINET {
		return false
	}
	_, err = p.Question()
	return err == dnsmessage.ErrSectionDone && sameName(asked.Name, q.name)
}

func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }

func truncated(m []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(m)
	return err == nil && h.Truncated
}

// exchange asks a server and returns its answer, not longer than until ctx ends.
func (q *question) exchange(ctx context.Context, network, server string) ([]byte, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	var id [2]byte
	rand.Read(id[:])
	m, err := q.pack(binary.BigEndian.Uint16(id[:]))
	if err != nil {
		return nil, err
	}
	answer, err := q.talk(c, m, binary.BigEndian.Uint16(id[:]))
	if err != nil && ctx.Err() != nil {
		err = &net.OpError{Op: "read", Net: network, Addr: c.RemoteAddr(), Err: ctx.Err()}
	}
	return answer, err
}

func (q *question) talk(c net.Conn, m []byte, id uint16) ([]byte, error) {
	if _, ok := c.(*net.UDPConn); ok {
		if _, err := c.Write(m[2:]); err != nil {
			return nil, err
		}
		buf := make([]byte, udpBuffer)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return nil, err
			}
			if q.answers(buf[:n], id) { // else it is somebody else's, and the answer may follow
				return buf[:n], nil
			}
		}
	}
	binary.BigEndian.PutUint16(m, uint16(len(m)-2)) // RFC 1035, Section 4.2.2
	if _, err := c.Write(m); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return nil, err
	}
	if !q.answers(buf, id) {
		return nil, ErrMalformed
	}
	return buf, nil
}
