package http3_test

import (
	"io"
	"net/http"
	"testing"
)

// TestAllocationsPerRequest guards what a small request costs, client and server together, from http.NewRequest to the
// closed body.
func TestAllocationsPerRequest(t *testing.T) {
	body := pattern(128)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }), nil)
	s.get(t, "/")
	fetch := func() {
		r, err := http.NewRequest("GET", s.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	const limit = 32
	if n := testing.AllocsPerRun(1000, fetch); n > limit && !raceEnabled {
		t.Errorf("%v allocations per request, limit %d", n, limit)
	}
}

// TestAllocationsOfBulk guards against allocations that grow with the length of a body.
func TestAllocationsOfBulk(t *testing.T) {
	const size = 8 << 20
	piece := pattern(64 << 10)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range size / len(piece) {
			w.Write(piece)
		}
	}), nil)
	s.get(t, "/")
	n := testing.AllocsPerRun(5, func() { s.get0(t, size) })
	// About 6,000 packets each way.
	if n > 1500 && !raceEnabled {
		t.Errorf("%v allocations for a body of %d bytes", n, size)
	}
}

// get0 GETs a body of a known size without keeping it.
func (s *site) get0(t testing.TB, size int64) {
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Fatal(n, err)
	}
}
