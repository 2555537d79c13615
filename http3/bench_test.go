package http3_test

import (
	"io"
	"net/http"
	"testing"
)

// BenchmarkSmallRequests measures client and server together: GETs of 128 bytes on one connection.
func BenchmarkSmallRequests(b *testing.B) {
	body := pattern(128)
	s := newSite(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }), nil)
	s.get(b, "/")
	for _, parallel := range []int{1, 100} {
		b.Run(map[int]string{1: "1 at a time", 100: "100 at a time"}[parallel], func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(parallel / 2)
			if parallel == 1 {
				for b.Loop() {
					s.fetch(b, int64(len(body)))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					s.fetch(b, int64(len(body)))
				}
			})
		})
	}
}

// fetch GETs a body of a known size.
func (s *site) fetch(b *testing.B, size int64) {
	r, err := http.NewRequest("GET", s.url+"/", nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := s.transport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		b.Fatal(n, err)
	}
}

// BenchmarkDownload measures client and server together: one body of 64 MiB.
func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	piece := pattern(64 << 10)
	s := newSite(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range size / len(piece) {
			w.Write(piece)
		}
	}), nil)
	s.get(b, "/")
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		s.fetch(b, size)
	}
}
