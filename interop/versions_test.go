package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
	peerquic "github.com/quic-go/quic-go"
	peerhttp3 "github.com/quic-go/quic-go/http3"
)

// getContent fetches size bytes of content from a server and checks them.
func getContent(t *testing.T, client http.RoundTripper, addr netip.AddrPort, path string, size int64) error {
	t.Helper()
	resp, err := roundTrip(t.Context(), client, http.MethodGet, urlOf(addr)+path, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if got := sumOf(resp.Body); got != contentSum(size) {
		t.Errorf("SHA-256 %s, want %s", got, contentSum(size))
	}
	return nil
}

// Dunlin's server and quic-go's client, which knows Version Negotiation packets and no version_information.
func TestVersionsOfQuicGoClient(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server []quic.Version
		client []peerquic.Version
		want   peerquic.Version
	}{
		{"version 2", nil, []peerquic.Version{peerquic.Version2, peerquic.Version1}, peerquic.Version2},
		{"Version Negotiation to version 1", []quic.Version{quic.Version1},
			[]peerquic.Version{peerquic.Version2, peerquic.Version1}, peerquic.Version1},
		{"Version Negotiation to version 2", []quic.Version{quic.Version2},
			[]peerquic.Version{peerquic.Version1, peerquic.Version2}, peerquic.Version2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := serveDunlin(t, newHandler(), &quic.Config{Versions: tt.server})
			client := &peerhttp3.Transport{
				TLSClientConfig: &tls.Config{RootCAs: testIdentity(t).pool}, DisableCompression: true,
				Dial: func(ctx context.Context, addr string, config *tls.Config, _ *peerquic.Config) (*peerquic.Conn, error) {
					conn, err := peerquic.DialAddr(ctx, addr, config, &peerquic.Config{Versions: tt.client})
					if err == nil && conn.ConnectionState().Version != tt.want {
						t.Errorf("version %v", conn.ConnectionState().Version)
					}
					return conn, err
				},
			}
			defer client.Close()
			if err := getContent(t, client, addr, "content/3000000", 3e6); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Dunlin's client and quic-go's server. That server never proves that a Version Negotiation packet was its own: so Dunlin
// obeys one only as far as to version 1, for which RFC 9368, Section 8 makes an exception.
func TestVersionsOfQuicGoServer(t *testing.T) {
	v1, v2 := []peerquic.Version{peerquic.Version1}, []peerquic.Version{peerquic.Version2}
	for _, tt := range []struct {
		name    string
		client  quic.Config
		server  []peerquic.Version
		refused bool
	}{
		{"version 2", quic.Config{Versions: []quic.Version{quic.Version2}}, nil, false},
		{"version 2 of two", quic.Config{OriginalVersion: quic.Version2}, v2, false},
		{"Version Negotiation to version 1", quic.Config{OriginalVersion: quic.Version2}, v1, false},
		{"Version Negotiation to version 2", quic.Config{}, v2, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			server := &peerhttp3.Server{
				Handler:    newHandler(),
				TLSConfig:  peerhttp3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{testIdentity(t).cert}}),
				QUICConfig: &peerquic.Config{Versions: tt.server},
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve(socket) }()
			defer func() {
				server.Close()
				socket.Close()
				<-served
			}()
			client := &http3.Transport{
				TLSClientConfig: &tls.Config{RootCAs: testIdentity(t).pool}, DisableCompression: true, QUIC: &tt.client,
			}
			defer client.Close()
			err = getContent(t, client, addrPort(socket.LocalAddr()), "content/3000000", 3e6)
			if !tt.refused && err != nil {
				t.Fatal(err)
			}
			if te, ok := errors.AsType[*quic.TransportError](err); tt.refused && (!ok || te.Code != quic.VersionNegotiationError) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Dunlin's client begins with a version that ngtcp2's server does not know.
func TestVersionsOfGtlsserver(t *testing.T) {
	gtlsserver := need(t, "gtlsserver")
	docs := t.TempDir()
	writeContent(t, filepath.Join(docs, "content"), 3e6)
	addr := startGtlsserver(t, gtlsserver, docs)
	client := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: testIdentity(t).pool}, DisableCompression: true,
		QUIC: &quic.Config{OriginalVersion: quic.Version2},
	}
	defer client.Close()
	if err := getContent(t, client, addr, "content", 3e6); err != nil {
		t.Fatal(err)
	}
}

// Chromium, told to begin with version 2, loads a page from a server that knows no other.
func TestChromiumVersion2(t *testing.T) {
	chromium := need(t, "chromium")
	const size = 2e6
	folder := t.TempDir()
	writePage(t, folder, size)
	findings := make(chan url.Values, 1)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(folder)))
	mux.HandleFunc("/result", func(_ http.ResponseWriter, r *http.Request) { findings <- r.URL.Query() })
	addr := serveDunlin(t, mux, &quic.Config{Versions: []quic.Version{quic.Version2}})

	origin := "localhost:" + strconv.Itoa(int(addr.Port()))
	key := sha256.Sum256(testIdentity(t).cert.Leaf.RawSubjectPublicKeyInfo)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, append(chromiumArgs(t), "--quic-version=RFCv2",
		"--origin-to-force-quic-on="+origin,
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]), "https://"+origin+"/")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	killGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	}()
	select {
	case got := <-findings:
		// "h3", with the version appended.
		if !strings.HasPrefix(got.Get("page"), "h3") || got.Get("sum") != contentSum(size) || got.Get("pictures") != strconv.Itoa(pictures) {
			t.Errorf("the page says %v", got)
		}
	case <-ctx.Done():
		_ = cmd.Cancel()
		_ = cmd.Wait()
		t.Fatalf("no result from the page. Chromium:\n%s", tail(out.Bytes()))
	}
}
