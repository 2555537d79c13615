package http3_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// Requests over each version of QUIC, whether the server changes it on the way or the client has to begin again.
func TestQUICVersions(t *testing.T) {
	for _, tt := range []struct {
		name           string
		client, server []quic.Version
		want           quic.Version
	}{
		{"default", nil, nil, quic.Version1},
		{"the client prefers version 2", []quic.Version{quic.Version2, quic.Version1}, nil, quic.Version2},
		{"the server prefers version 2", nil, []quic.Version{quic.Version2, quic.Version1}, quic.Version2},
		{"Version Negotiation", nil, []quic.Version{quic.Version2}, quic.Version2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
			s := newSite(t, hello, func(server *http3.Server, client *http3.Transport) {
				server.QUIC = &quic.Config{Versions: tt.server}
				client.QUIC = &quic.Config{Versions: tt.client}
			})
			var got quic.Version
			r := s.newRequest(t, "GET", "/", nil)
			res, err := s.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				GotConn: func(info httptrace.GotConnInfo) { got = info.Conn.(*http3.ClientConn).Version() },
			})))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); string(body) != "hello" || err != nil {
				t.Errorf("%q, %v", body, err)
			}
			if got != tt.want {
				t.Errorf("version %v, want %v", got, tt.want)
			}
		})
	}
}
