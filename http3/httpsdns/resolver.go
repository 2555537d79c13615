package httpsdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

// Resolver is an http3.HTTPSResolver. Use it from any number of goroutines. The zero value is ready to use.
type Resolver struct {
	// Servers are the addresses of recursive DNS servers, "host:port", to ask in turn. Default: the first three of
	// /etc/resolv.conf, which is read for every lookup; systems without that file need Servers.
	Servers []string
	// Timeout bounds each of the two attempts that every server has. Default 2 s.
	Timeout time.Duration
}

var _ http3.HTTPSResolver = (*Resolver)(nil)

const (
	defaultTimeout = 2 * time.Second
	attempts       = 2
	maxServers     = 3
	configFile     = "/etc/resolv.conf"
)

// Errors of LookupHTTPS, which wraps them.
var (
	// ErrNoServers: neither Servers nor the system names a server.
	ErrNoServers = errors.New("httpsdns: no DNS server is known")
	// ErrMalformed: an answer can't be understood.
	ErrMalformed = errors.New("httpsdns: malformed answer")
)

// ServerError is an answer that says that the server did not do what it was asked for.
type ServerError struct {
	RCode uint16 // RFC 1035, Section 4.1.1: 2 is SERVFAIL, 5 REFUSED
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("httpsdns: the DNS server answers with error %d", e.RCode)
}

// LookupHTTPS returns the records of a name, which is taken as complete, and for how long they hold. A name without records, or one
// that does not exist, is no error. A record's Target is never ".": it names what has the record, at the end of aliases by
// CNAME. Records are left out that make something mandatory which this package does not know (RFC 9460, Section 8); one that
// contradicts itself spoils all of the name's (Section 2.2). The error is that of the first server.
func (r *Resolver) LookupHTTPS(ctx context.Context, name string) ([]http3.HTTPSRecord, time.Duration, error) {
	servers := r.Servers
	if len(servers) == 0 {
		config, err := os.ReadFile(configFile)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrNoServers, err)
		}
		servers = configured(string(config))
	}
	q, err := newQuestion(name)
	if err != nil {
		return nil, 0, err
	}
	var first error
	for range attempts {
		for _, server := range servers {
			records, ttl, err := r.ask(ctx, server, q)
			if err == nil {
				return records, ttl, nil
			}
			if ctx.Err() != nil {
				return nil, 0, context.Cause(ctx)
			}
			if first == nil {
				first = err
			}
		}
	}
	return nil, 0, first
}

// configured returns the servers that a resolv.conf names; that of this host if none.
func configured(config string) (servers []string) {
	for line := range strings.Lines(config) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "nameserver" && len(servers) < maxServers {
			if server := net.JoinHostPort(fields[1], "53"); !slices.Contains(servers, server) {
				servers = append(servers, server)
			}
		}
	}
	if servers == nil {
		servers = []string{"127.0.0.1:53"}
	}
	return servers
}

// ask has one attempt at one server.
func (r *Resolver) ask(ctx context.Context, server string, q *question) ([]http3.HTTPSRecord, time.Duration, error) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := q.exchange(ctx, "udp", server)
	if err == nil && truncated(answer) {
		answer, err = q.exchange(ctx, "tcp", server)
	}
	if err != nil {
		return nil, 0, err
	}
	return q.records(answer)
}
