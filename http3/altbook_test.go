package http3

import (
	"fmt"
	"testing"
	"time"
)

// SetClock gives an AltTransport a clock of the test's.
func (t *AltTransport) SetClock(now func() time.Time) { t.now = now }

// TestParseAltSvc reads the field values of RFC 7838, Section 3, and broken ones.
func TestParseAltSvc(t *testing.T) {
	now := time.Unix(1000, 0)
	day := 24 * time.Hour
	for _, tt := range []struct {
		values []string
		want   string // host port seconds, joined; "-" for what is malformed
	}{
		{[]string{`h3=":443"`}, "[:443 86400]"},
		{[]string{`h3=":443"; ma=3600`}, "[:443 3600]"},
		{[]string{`h3=":443";ma=3600;persist=1`}, "[:443 3600]"},
		{[]string{`h3=":443" ; ma = 3600`}, "-"},
		{[]string{`h2=":443", h3="Alt.example:8443"; ma="60" , h3-29=":1"`}, "[alt.example:8443 60]"},
		{[]string{`h2=":443"`, `h3="[::1]:1"`, `h3=":2"`}, "[::1:1 86400] [:2 86400]"},
		{[]string{`%68%33=":5"`}, "[:5 86400]"},
		{[]string{`h3=":443"; ma=99999999999999`}, fmt.Sprintf("[:443 %d]", int(30*day/time.Second))},
		{[]string{`h3=":443"; ma=0`}, "[:443 0]"},
		{[]string{`h3=":443"; unknown="a;b,\"c"`}, "[:443 86400]"},
		{[]string{`h3=":443",,, h3=":444",`}, "[:443 86400] [:444 86400]"},
		{[]string{"clear"}, ""},
		{[]string{" clear"}, ""},
		{[]string{`h3=":0"`}, ""},
		{[]string{`h3=":65536"`}, ""},
		{[]string{`h3="nowhere"`}, ""},
		{[]string{"CLEAR"}, "-"},
		{[]string{""}, "-"},
		{[]string{`h3`}, "-"},
		{[]string{`h3=:443`}, "-"},
		{[]string{`h3=":443`}, "-"},
		{[]string{`h3=":443"; ma`}, "-"},
		{[]string{`h3=":443"; ma=-1`}, "-"},
		{[]string{`h3=":443"; ma=1;`}, "-"},
		{[]string{`h3=":443" h3=":444"`}, "-"},
		{[]string{"h3=\":443\"; ma=\"1"}, "-"},
		{[]string{`broken`, `h3=":443"`}, "[:443 86400]"},
	} {
		found, ok := parseAltSvc(tt.values, now)
		got := ""
		for i, a := range found {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("[%s:%s %d]", a.host, a.port, int(a.expires.Sub(now)/time.Second))
		}
		if !ok {
			got = "-"
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.values, got, tt.want)
		}
	}
}

// FuzzAltSvc parses arbitrary field values.
func FuzzAltSvc(f *testing.F) {
	for _, v := range []string{`h3=":443"; ma=3600, h2="a:1"; persist=1`, "clear", `h3="\"`, `h3=":1";x="\\"`} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		found, ok := parseAltSvc([]string{v}, time.Unix(0, 0))
		if !ok && len(found) > 0 {
			t.Error("alternatives of a malformed value")
		}
		for _, a := range found {
			if a.port == "" || a.expires.Sub(time.Unix(0, 0)) > maxAltSvcAge {
				t.Errorf("%+v", a)
			}
		}
	})
}

// TestAltBook has alternatives expire and break, and forgets the origins that were not used for longest.
func TestAltBook(t *testing.T) {
	now := time.Unix(1000, 0)
	b := altBook{max: 3, now: func() time.Time { return now }}
	later := func(port string, after time.Duration) alternative {
		return alternative{port: port, expires: now.Add(after)}
	}
	has := func(key, port string) {
		t.Helper()
		a, ok := b.alternative(key)
		if a.port != port || ok != (port != "") {
			t.Errorf("%s: %q, %v, want %q", key, a.port, ok, port)
		}
	}
	b.set("a", []alternative{later("1", time.Minute), later("2", time.Hour), later("3", time.Hour)})
	has("a", "1")
	now = now.Add(time.Minute)
	has("a", "2")
	b.drop("a", later("2", 0))
	has("a", "3")
	for i := range 12 {
		b.result("a", false)
		pause := min(5*time.Minute<<i, 48*time.Hour)
		now = now.Add(pause - 1)
		b.set("a", []alternative{later("3", time.Hour)})
		has("a", "")
		now = now.Add(1)
		b.set("a", []alternative{later("3", time.Hour)})
		has("a", "3")
	}
	b.result("a", true)
	b.result("a", false)
	now = now.Add(brokenMin)
	has("a", "3")

	for _, key := range []string{"b", "c"} {
		b.set(key, []alternative{later("4", time.Hour)})
	}
	has("a", "3")
	b.set("d", []alternative{later("4", time.Hour)})
	has("b", "")
	has("a", "3")
	b.set("a", nil)
	has("a", "")
	if b.order.Len() != 3 || len(b.byKey) != 3 {
		t.Errorf("%d, %d origins", b.order.Len(), len(b.byKey))
	}
}
