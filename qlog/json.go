package qlog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// object appends the members of a JSON object. What is empty is left out, since absent means empty in qlog; the methods whose
// names begin with "must" write it all the same.
type object struct{ b []byte }

func begin(b []byte) object { return object{append(b, '{')} }

// end returns the finished object.
func (o *object) end() []byte { return append(o.b, '}') }

func (o *object) key(k string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, '"', ':')
}

// name writes a value that needs no escapes: one of the drafts' names, or an address.
func (o *object) name(k, v string) {
	if v != "" {
		o.key(k)
		o.b = append(o.b, '"')
		o.b = append(o.b, v...)
		o.b = append(o.b, '"')
	}
}

func (o *object) text(k, v string) {
	if v != "" {
		o.mustText(k, v)
	}
}

func (o *object) mustText(k, v string) {
	o.key(k)
	o.b = appendText(o.b, v)
}

func (o *object) uint(k string, v uint64) {
	if v != 0 {
		o.mustUint(k, v)
	}
}

func (o *object) mustUint(k string, v uint64) {
	o.key(k)
	o.b = strconv.AppendUint(o.b, v, 10)
}

func (o *object) bool(k string, v bool) {
	if v {
		o.key(k)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) hex(k string, v []byte) {
	if len(v) > 0 {
		o.mustHex(k, v)
	}
}

func (o *object) mustHex(k string, v []byte) {
	o.key(k)
	o.b = appendHex(o.b, v)
}

// ms writes a duration in milliseconds.
func (o *object) ms(k string, d time.Duration) {
	o.key(k)
	o.b = appendMillis(o.b, d)
}

// raw writes how long something is in bytes. Zero is left out.
func (o *object) raw(r RawInfo) {
	if r == (RawInfo{}) {
		return
	}
	o.key("raw")
	o.b = r.append(o.b)
}

// RawInfo tells how long something is in bytes. Its contents are never logged.
type RawInfo struct {
	Length        int // with header and trailer
	PayloadLength int // without; 0 leaves it out
}

func (r RawInfo) append(b []byte) []byte {
	o := begin(b)
	o.mustUint("length", uint64(r.Length))
	o.uint("payload_length", uint64(r.PayloadLength))
	return o.end()
}

const hexDigits = "0123456789abcdef"

func appendHex(b, v []byte) []byte {
	b = append(b, '"')
	for _, c := range v {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	return append(b, '"')
}

// appendText appends s as a JSON string. What is no UTF-8 becomes U+FFFD: peers choose some of these texts.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// appendMillis appends d in milliseconds, to the nanosecond.
func appendMillis(b []byte, d time.Duration) []byte {
	if d < 0 {
		b = append(b, '-')
		d = -d
	}
	b = strconv.AppendInt(b, int64(d/time.Millisecond), 10)
	rest := int64(d % time.Millisecond)
	b = append(b, '.')
	digit := int64(100_000)
	for {
		b = append(b, byte('0'+rest/digit))
		rest %= digit
		digit /= 10
		if rest == 0 || digit == 0 {
			return b
		}
	}
}
