package interop

import (
	"bytes"
	"context"
	"flag"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

var debian13 = flag.String("debian13", "", "the `folder` that debian13.sh has made, with peers of Debian 13: runs the tests with them")

// jail is where a peer of Debian 13 runs: its root is the folder that debian13.sh made. A folder in there is the test's own.
type jail struct {
	root   string
	folder string // as the peer sees it
}

func newJail(t *testing.T) *jail {
	t.Helper()
	if *debian13 == "" {
		t.Skip("wants -debian13 FOLDER, which ./debian13.sh FOLDER makes")
	}
	if os.Geteuid() != 0 {
		t.Skip("another root folder takes root")
	}
	folder, err := os.MkdirTemp(filepath.Join(*debian13, "tmp"), "test")
	if err == nil {
		err = os.Chmod(folder, 0o777) // for servers that give up their privileges
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	j := &jail{*debian13, filepath.Join("/tmp", filepath.Base(folder))}
	id := testIdentity(t)
	for _, file := range []string{id.certFile, id.keyFile} {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(j.outside(filepath.Base(file)), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// inside is where the peer finds a file of the test's folder, outside where the test does.
func (j *jail) inside(file string) string  { return filepath.Join(j.folder, file) }
func (j *jail) outside(file string) string { return filepath.Join(j.root, j.folder, file) }

func (j *jail) cert() string { return j.inside("cert.pem") }
func (j *jail) key() string  { return j.inside("key.pem") }

func (j *jail) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	setRoot(cmd, j.root)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + j.folder, "PYTHONPATH=" + aioquicExamples + ":" + j.folder}
	return cmd
}

// run runs a peer's client, which must succeed, and returns its output.
func (j *jail) run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := j.command(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, tail(out))
	}
	return out
}

// start runs a peer's server on addr until the test ends.
func (j *jail) start(t *testing.T, addr netip.AddrPort, program string, args ...string) {
	t.Helper()
	startServer(t, addr, j.command(context.Background(), program, args...))
}

// startServer runs a server that will listen on addr until the test ends.
func startServer(t *testing.T, addr netip.AddrPort, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Path, tail(out.Bytes()))
		}
	})
	waitForUDP(t, addr)
}

// freeAddr returns an address of loopback on which nothing listens.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return addrPort(free.LocalAddr())
}

func portOf(addr netip.AddrPort) string { return strconv.Itoa(int(addr.Port())) }

// contentURL is where [newHandler] serves that much of content.
func contentURL(addr netip.AddrPort, size int64) string {
	return urlOf(addr) + "content/" + strconv.FormatInt(size, 10)
}
