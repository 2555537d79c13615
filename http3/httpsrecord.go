package http3

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HTTPSRecord is a DNS record of type HTTPS (RFC 9460), of which the resolver has checked that it understands what is
// mandatory in it.
type HTTPSRecord struct {
	// Priority is SvcPriority; 0 makes the record an alias for Target.
	Priority uint16
	// Target is TargetName; "." or "" is the name that was asked for, to which a resolver that has followed CNAME records
	// gives the record's own name instead (RFC 9460, Section 2.5.2).
	Target string
	// ALPN are the protocols: "h3" is that of HTTP/3.
	ALPN []string
	// Port is the port, 0 the origin's.
	Port uint16
	// ECH is the list of configurations for Encrypted ClientHello, nil if there are none.
	ECH []byte
}

// HTTPSResolver looks up HTTPS records. An [AltTransport] has one if it is to learn of HTTP/3 before the first request. The
// standard library has none; package httpsdns has one for the system's DNS servers.
type HTTPSResolver interface {
	// LookupHTTPS returns the records of a name, and for how long they hold. No records are no error.
	LookupHTTPS(ctx context.Context, name string) ([]HTTPSRecord, time.Duration, error)
}

const (
	// recordsWait is how long a request waits for the answer: what comes later is for the next one.
	recordsWait    = 50 * time.Millisecond
	recordsTimeout = 5 * time.Second
	minRecordsTTL  = time.Minute
	maxRecordsTTL  = 24 * time.Hour
	maxAliases     = 8 // RFC 9460, Section 2.4.2 asks for a bound
)

// named reports whether the host of an origin is a name: addresses have no records.
func named(key string) bool {
	host, _, _ := net.SplitHostPort(key)
	_, err := netip.ParseAddr(host)
	return err != nil
}

// httpsName returns the name that has the HTTPS records of an origin (RFC 9460, Section 9.1).
func httpsName(host, port string) string {
	if port == "443" {
		return host
	}
	return "_" + port + "._https." + host
}

// lookupRecords returns the alternatives over HTTP/3 that the records of an origin tell of, and for how long that holds.
func lookupRecords(ctx context.Context, r HTTPSResolver, key string, now time.Time) ([]alternative, time.Duration, error) {
	host, port, err := net.SplitHostPort(key)
	if err != nil {
		return nil, 0, err
	}
	name := httpsName(host, port)
	for range maxAliases {
		records, ttl, err := r.LookupHTTPS(ctx, name)
		if err != nil {
			return nil, minRecordsTTL, err
		}
		ttl = min(max(ttl, minRecordsTTL), maxRecordsTTL)
		records = slices.Clone(records) // the resolver may have them in a cache
		// RFC 9460, Section 2.4.1: those of one priority in no particular order.
		rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		slices.SortStableFunc(records, func(a, b HTTPSRecord) int { return int(a.Priority) - int(b.Priority) })
		if len(records) > 0 && records[0].Priority == 0 {
			alias := strings.TrimSuffix(records[0].Target, ".")
			if alias == "" {
				return nil, ttl, nil // RFC 9460, Section 2.5.1: there is no such service
			}
			name = alias
			continue
		}
		var found []alternative
		for _, rec := range records {
			if !slices.Contains(rec.ALPN, NextProto) || len(found) == maxAlternatives {
				continue
			}
			a := alternative{expires: now.Add(ttl), record: true, ech: rec.ECH}
			// RFC 9460, Section 2.5.2: without a target it is the name that has the record, whatever prefixes that has.
			if a.host = cmp.Or(strings.TrimSuffix(rec.Target, "."), name); strings.EqualFold(a.host, host) {
				a.host = "" // the same place as that of an Alt-Svc field without a host
			}
			a.port = port
			if rec.Port != 0 {
				a.port = strconv.Itoa(int(rec.Port))
			}
			found = append(found, a)
		}
		return found, ttl, nil
	}
	return nil, minRecordsTTL, nil
}
