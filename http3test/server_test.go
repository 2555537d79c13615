package http3test_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"testing"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/http3test"
	"github.com/dunlin-quic/dunlin/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func Example() {
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Hello over", r.Proto)
	}))
	defer ts.Close()

	res, err := ts.Client().Get(ts.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	greeting, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", greeting)
	// Output: Hello over HTTP/3.0
}

// TestNames reaches the server under all its names, over one connection for each.
func TestNames(t *testing.T) {
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	defer ts.Close()
	for _, url := range []string{ts.URL, "https://example.com", "https://example.com:8443"} {
		res, err := ts.Client().Get(url + "/")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || "https://"+string(got) != url {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
}

// TestUnstarted serves with a certificate and a limit of the test's own.
func TestUnstarted(t *testing.T) {
	other := http3test.NewServer(http.NotFoundHandler())
	certificate := other.Config.TLSConfig.Certificates[0]
	other.Close()

	ts := http3test.NewUnstartedServer(http.NotFoundHandler())
	ts.Config.TLSConfig = other.Config.TLSConfig.Clone()
	certificate.Leaf = nil
	ts.Config.TLSConfig.Certificates[0] = certificate
	ts.Config.MaxHeaderBytes = 1000
	ts.Start()
	defer ts.Close()
	if ts.Certificate() == nil {
		t.Error("no certificate")
	}
	req, _ := http.NewRequest("GET", ts.URL, nil)
	var conn *http3.ClientConn
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.(*http3.ClientConn) },
	}))
	req.Header.Set("x-long", fmt.Sprintf("%02000d", 0))
	res, err := ts.Client().Do(req)
	// A client that has the server's settings by then does not even send it.
	if !errors.Is(err, h3.ErrFieldSectionTooLarge) && (err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge) {
		t.Errorf("%v, %v", res, err)
	}
	ts.Client().CloseIdleConnections()
	if conn == nil {
		t.Fatal("no connection")
	}

	http3test.NewUnstartedServer(nil).Close()
}

// TestCloseWaits closes the server while a request is under way.
func TestCloseWaits(t *testing.T) {
	running, finish := make(chan struct{}), make(chan struct{})
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-finish
		io.WriteString(w, "done")
	}))
	answer := make(chan string)
	go func() {
		res, err := ts.Client().Get(ts.URL)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()
	<-running
	closed := make(chan struct{})
	go func() {
		ts.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(finish)
	if got := <-answer; got != "done" {
		t.Error(got)
	}
	<-closed
}
