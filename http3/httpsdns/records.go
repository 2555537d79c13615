package httpsdns

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/dunlin-quic/dunlin/http3"
)

const (
	maxRecords = 32 // of those beyond nothing is known
	maxCNAMEs  = 8
)

// found is an HTTPS record or a CNAME of an answer.
type found struct {
	owner dnsmessage.Name
	ttl   uint32
	alias dnsmessage.Name // of a CNAME
	https *dnsmessage.HTTPSResource
}

// records returns the HTTPS records of an answer at the end of its aliases, and for how long they and those hold.
func (q *question) records(m []byte) ([]http3.HTTPSRecord, time.Duration, error) {
	all, err := parseAnswer(m)
	if err != nil {
		return nil, 0, err
	}
	name, ttl := q.name, uint32(math.MaxInt32)
	for range maxCNAMEs {
		next := name
		for _, f := range all {
			if f.https == nil && sameName(f.owner, name) {
				next, ttl = f.alias, min(ttl, f.ttl)
				break
			}
		}
		if next == name {
			break
		}
		name = next
	}
	var records []http3.HTTPSRecord
	reject := false
	for _, f := range all {
		if f.https == nil || !sameName(f.owner, name) {
			continue
		}
		ttl = min(ttl, f.ttl)
		switch rec, verdict := record(f.owner, f.https); verdict {
		case fit:
			records = append(records, rec)
		case malformed:
			reject = true
		}
	}
	if reject {
		records = nil // RFC 9460, Section 2.2: one that is malformed spoils all
	}
	if ttl == math.MaxInt32 {
		ttl = 0 // nothing was found that holds for any time
	}
	return records, time.Duration(ttl) * time.Second, nil
}

// parseAnswer returns what an answer has of HTTPS records and CNAMEs.
func parseAnswer(m []byte) (all []found, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(m)
	if err == nil {
		err = p.SkipAllQuestions()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch h.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return nil, nil
	default:
		return nil, &ServerError{uint16(h.RCode)}
	}
	for len(all) < maxRecords {
		rh, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return all, nil
		}
		f := found{owner: rh.Name, ttl: rh.TTL}
		if f.ttl > math.MaxInt32 {
			f.ttl = 0 // RFC 2181, Section 8
		}
		switch {
		case err != nil:
		case rh.Class == dnsmessage.ClassINET && rh.Type == dnsmessage.TypeCNAME:
			var r dnsmessage.CNAMEResource
			r, err = p.CNAMEResource()
			f.alias = r.CNAME
			all = append(all, f)
		case rh.Class == dnsmessage.ClassINET && rh.Type == dnsmessage.TypeHTTPS:
			var r dnsmessage.HTTPSResource
			r, err = p.HTTPSResource()
			f.https = &r
			all = append(all, f)
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	return all, nil
}

// A verdict says what a record is good for.
type verdict int

const (
	fit          verdict = iota
	incompatible         // it demands what is not known here (RFC 9460, Section 8)
	malformed
)

// record returns what a record says, if it is fit.
func record(owner dnsmessage.Name, r *dnsmessage.HTTPSResource) (rec http3.HTTPSRecord, v verdict) {
	rec.Priority = r.Priority
	rec.Target = strings.TrimSuffix(r.Target.String(), ".")
	if rec.Priority == 0 {
		if rec.Target == "" {
			rec.Target = "." // RFC 9460, Section 2.5.1: there is no such service
		}
		return rec, fit // the parameters of an alias mean nothing
	}
	if rec.Target == "" {
		rec.Target = strings.TrimSuffix(owner.String(), ".") // RFC 9460, Section 2.5.2
	}
	if rec.Target == "" {
		return rec, incompatible // an alias of the root, which is no host
	}
	for _, p := range r.Params {
		ok := true
		switch p.Key {
		case dnsmessage.SVCParamMandatory:
			v = mandatory(r, p.Value)
			ok = v != malformed
		case dnsmessage.SVCParamALPN:
			rec.ALPN, ok = parseALPN(p.Value)
		case dnsmessage.SVCParamNoDefaultALPN:
			// RFC 9460, Section 7.1.1: it makes no sense without others.
			_, ok = r.GetParam(dnsmessage.SVCParamALPN)
			ok = ok && len(p.Value) == 0
		case dnsmessage.SVCParamPort:
			if ok = len(p.Value) == 2; ok {
				rec.Port = binary.BigEndian.Uint16(p.Value)
			}
		case dnsmessage.SVCParamECH:
			rec.ECH, ok = p.Value, len(p.Value) > 0
		default: // RFC 9460, Section 2.4.3: what is not known, or only a hint, may be left alone
		}
		if !ok {
			return rec, malformed
		}
	}
	return rec, v
}

// parseALPN reads a list of protocols (RFC 9460, Section 7.1.1).
func parseALPN(v []byte) (names []string, ok bool) {
	for len(v) > 0 {
		n := int(v[0])
		if n == 0 || len(v) < 1+n {
			return nil, false
		}
		names = append(names, string(v[1:1+n]))
		v = v[1+n:]
	}
	return names, len(names) > 0
}

// mandatory judges a record by its list of mandatory keys: all must be in the record, and known to this package
// (RFC 9460, Section 8).
func mandatory(r *dnsmessage.HTTPSResource, list []byte) (v verdict) {
	if len(list) == 0 || len(list)%2 != 0 {
		return malformed
	}
	last := int(dnsmessage.SVCParamMandatory) // which must not be in it
	for ; len(list) > 0; list = list[2:] {
		key := dnsmessage.SVCParamKey(binary.BigEndian.Uint16(list))
		if _, ok := r.GetParam(key); !ok || int(key) <= last {
			return malformed
		}
		last = int(key)
		switch key {
		case dnsmessage.SVCParamALPN, dnsmessage.SVCParamNoDefaultALPN, dnsmessage.SVCParamPort, dnsmessage.SVCParamECH,
			dnsmessage.SVCParamIPv4Hint, dnsmessage.SVCParamIPv6Hint:
		default:
			v = incompatible
		}
	}
	return v
}
