package http3

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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
		{[]string{`h3=":443";ma=3600;persist=1`}, "[:443 3600 persist]"},
		{[]string{`h3=":443" ; ma = 3600`}, "-"},
		{[]string{`h2=":443", h3="Alt.example:8443"; ma="60" , h3-29=":1"`}, "[alt.example:8443 60]"},
		{[]string{`h2=":443"`, `h3="[::1]:1"`, `h3=":2"`}, "[::1:1 86400] [:2 86400]"},
		{[]string{`%68%33=":5"`}, "[:5 86400]"},
		{[]string{`h3=":443"; ma=99999999999999`}, fmt.Sprintf("[:443 %d]", int(30*day/time.Second))},
		{[]string{`h3=":443"; ma=0`}, "[:443 0]"},
		{[]string{`h3=":443"; unknown="a;b,\"c"`}, "[:443 86400]"},
		{[]string{`h3=":443",,, h3=":444",`}, "[:443 86400] [:444 86400]"},
		{[]string{"clear"}, ""},
		{[]string{"clear ", `h3=":443"`}, ""},
		{[]string{`h3=":443"`, "clear"}, ""},
		{[]string{`h3=":443", clear`}, ""},
		{[]string{`clear,h3=":443"`}, ""},
		{[]string{`clear="x:443"`}, ""},
		{[]string{`clearh3=":443"`, `h3=":1"`}, "[:1 86400]"},
		{[]string{"clear h3"}, "-"},
		{[]string{`h3=":443";persist=2`, `h3=":444"; Persist="1"`}, "[:443 86400] [:444 86400 persist]"},
		{slices.Repeat([]string{`h3=":1"; ma=1`}, 10), strings.TrimSpace(strings.Repeat("[:1 1] ", 8))},
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
			persist := ""
			if a.persist {
				persist = " persist"
			}
			got += fmt.Sprintf("[%s:%s %d%s]", a.host, a.port, int(a.expires.Sub(now)/time.Second), persist)
		}
		if !ok {
			got = "-"
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.values, got, tt.want)
		}
	}
}

// TestGenerated takes the age of a response into account, whatever a server calls so.
func TestGenerated(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	for age, want := range map[string]time.Duration{
		"": 0, "0": 0, "30": 30 * time.Second, " 30 ": 30 * time.Second, "-1": 0, "soon": 0, "9223372036854775807": maxAltSvcAge,
	} {
		res := &http.Response{Header: http.Header{"Age": {age}}}
		if got := now.Sub(generated(res, now)); got != want {
			t.Errorf("Age: %s: %v, want %v", age, got, want)
		}
	}
}

// FuzzAltSvc parses arbitrary field values.
// TestMisdirectedTeachesNothing: whoever is not the origin does not say where it is.
func TestMisdirectedTeachesNothing(t *testing.T) {
	var a AltTransport
	defer a.Close()
	a.once.Do(a.init)
	for _, tt := range []struct {
		status int
		ready  bool
	}{{http.StatusMisdirectedRequest, false}, {http.StatusNotFound, true}} {
		a.learn("origin.test:443", &http.Response{StatusCode: tt.status, Header: http.Header{"Alt-Svc": {`h3=":443"`}}})
		if a.book.ready("origin.test:443") != tt.ready {
			t.Errorf("after status %d: ready is %v", tt.status, !tt.ready)
		}
	}
}

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
		return alternative{place: place{port: port}, expires: now.Add(after)}
	}
	has := func(key string, ports ...string) {
		t.Helper()
		var got []string
		for _, a := range b.usable(key) {
			got = append(got, a.port)
		}
		if !slices.Equal(got, ports) || b.ready(key) != (len(ports) > 0) {
			t.Errorf("%s: %q, ready %v, want %q", key, got, b.ready(key), ports)
		}
	}
	b.set("a", []alternative{later("1", time.Minute), later("2", time.Hour), later("3", time.Hour)})
	has("a", "1", "2", "3")
	now = now.Add(time.Minute)
	has("a", "2", "3")
	if b.set("a", []alternative{later("1", time.Minute), later("2", time.Hour), later("3", time.Hour)}) {
		t.Error("something new, or nothing, is taken for less")
	}
	if !b.set("a", []alternative{later("2", 200*time.Hour), later("3", 200*time.Hour)}) {
		t.Error("less is not")
	}
	for i := range 12 {
		b.result("a", place{port: "2"}, false)
		pause := min(5*time.Minute<<i, 48*time.Hour)
		now = now.Add(pause - 1)
		b.set("a", []alternative{later("2", time.Hour), later("3", time.Hour)})
		has("a", "3")
		now = now.Add(1)
		b.set("a", []alternative{later("2", time.Hour), later("3", time.Hour)})
		has("a", "2", "3")
	}
	b.result("a", place{port: "2"}, true)
	b.result("a", place{port: "2"}, false)
	b.result("a", place{port: "3"}, false)
	has("a")
	now = now.Add(brokenMin)
	has("a", "2", "3")
	for i := range 2 * maxBroken {
		b.result("a", place{port: fmt.Sprint(i)}, false)
	}
	if n := len(b.origin("a").broken); n != maxBroken {
		t.Errorf("%d broken places", n)
	}

	stays, goes := later("5", time.Hour), later("6", time.Hour)
	stays.persist = true
	b.set("a", []alternative{stays, goes})
	b.result("a", stays.place, false)
	has("a", "6")
	b.moved()
	has("a", "5")

	for _, key := range []string{"b", "c"} {
		b.set(key, []alternative{later("4", time.Hour)})
	}
	has("a", "5")
	b.set("d", []alternative{later("4", time.Hour)})
	has("b")
	has("a", "5")
	b.set("a", nil)
	has("a")
	if b.order.Len() != 3 || len(b.byKey) != 3 {
		t.Errorf("%d, %d origins", b.order.Len(), len(b.byKey))
	}
}
