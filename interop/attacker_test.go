package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

// attackEnv makes this test binary an attacker instead: "NAME ADDRESS CERTIFICATE-FILE".
const attackEnv = "DUNLIN_ATTACK"

// target is whom an attacker attacks.
type target struct {
	addr netip.AddrPort
	pool *x509.CertPool
}

func (g target) url() string { return urlOf(g.addr) }

// attackerLimit ends an attacker that does not end.
const attackerLimit = time.Minute

// runAttacker does what the environment says and ends the process.
func runAttacker() {
	var name, addr, certFile string
	err := func() error {
		if _, err := fmt.Sscan(os.Getenv(attackEnv), &name, &addr, &certFile); err != nil {
			return err
		}
		pem, err := os.ReadFile(certFile)
		if err != nil {
			return err
		}
		g := target{pool: x509.NewCertPool()}
		g.pool.AppendCertsFromPEM(pem)
		if g.addr, err = netip.ParseAddrPort(addr); err != nil {
			return err
		}
		attack := attacks[name]
		if attack == nil {
			return errors.New("no such attack")
		}
		ctx, cancel := context.WithTimeout(context.Background(), attackerLimit)
		defer cancel()
		return attack(ctx, g)
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "attack %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// attacker is a process that attacks.
type attacker struct {
	*exec.Cmd
	name string
	out  bytes.Buffer
}

func startAttacker(t *testing.T, name string, addr netip.AddrPort) *attacker {
	t.Helper()
	a := &attacker{Cmd: exec.Command(os.Args[0]), name: name}
	a.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", attackEnv, name, addr, testIdentity(t).certFile))
	a.Stdout, a.Stderr = &a.out, &a.out
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	return a
}

// attack runs an attacker to its end.
func attack(t *testing.T, name string, addr netip.AddrPort) {
	t.Helper()
	a := startAttacker(t, name, addr)
	if err := a.Wait(); err != nil {
		t.Errorf("the attacker: %v\n%s", err, a.out.String())
	}
}
