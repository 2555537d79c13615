package main

import (
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
)

// Files arrive whole between serve and get through a relay that drops, duplicates, delays, reorders and corrupts real
// datagrams.
func TestLossyPath(t *testing.T) {
	files := map[string]string{"small.txt": "small"}
	for _, name := range []string{"1.bin", "2.bin", "3.bin"} {
		content := make([]byte, 300_000)
		rand.Read(content)
		files[name] = string(content)
	}
	server := startServe(t, "--grace", "1s", writeFiles(t, files)) // the client's farewell may get lost
	bad := udpproxy.Impairment{
		Drop: 0.05, Duplicate: 0.03, Reorder: 0.05, Corrupt: 0.03, Delay: time.Millisecond, Jitter: 2 * time.Millisecond,
	}
	relay, err := udpproxy.Listen(localhostAddr(t, server.url), udpproxy.Config{ToServer: bad, ToClient: bad, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()

	dir := t.TempDir()
	t.Chdir(dir)
	args := []string{"get", "--cacert", server.cacert, "-O"}
	for name := range files {
		args = append(args, (&url.URL{Scheme: "https", Host: relay.Addr().String(), Path: "/" + name}).String())
	}
	mustDunlin(t, args...)
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s does not arrive whole: %d bytes of %d, %v", name, len(got), len(want), err)
		}
	}
	toServer, toClient := relay.Counters()
	for _, c := range []udpproxy.Counters{toServer, toClient} {
		if c.Dropped == 0 || c.Duplicated == 0 || c.Reordered == 0 {
			t.Errorf("the relay was too kind: %+v", c)
		}
	}
}
