package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDevCert(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dunlin")
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	open := func() *devCert {
		t.Helper()
		d, err := openDevCert(dir, clock)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	leaf := func(d *devCert) *x509.Certificate {
		t.Helper()
		pair, err := d.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}

	first := open()
	cert := leaf(first)
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("the key is %T, not ECDSA P-256", cert.PublicKey)
	}
	if got, want := cert.NotAfter, now.Add(13*24*time.Hour); !got.Equal(want) {
		t.Errorf("valid until %s, want %s", got, want)
	}
	if lifetime := cert.NotAfter.Sub(cert.NotBefore); lifetime > 14*24*time.Hour {
		t.Errorf("valid for %s, which browsers refuse for serverCertificateHashes", lifetime)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		_, err := cert.Verify(x509.VerifyOptions{
			DNSName: name, Roots: first.pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(first.keyFile()); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the key's file: %v, %v; want it closed to others", info, err)
	}
	if _, err := tls.LoadX509KeyPair(first.certFile(), first.keyFile()); err != nil {
		t.Error("the files:", err)
	}

	now = now.Add(9 * 24 * time.Hour)
	if second := leaf(open()); !second.Equal(cert) {
		t.Error("not kept from one run to the next")
	}
	now = now.Add(2 * 24 * time.Hour)
	renewed := leaf(open())
	if renewed.Equal(cert) || !renewed.NotAfter.Equal(now.Add(devCertLifetime)) {
		t.Error("not renewed before it expires")
	}
	if string(renewed.RawSubjectPublicKeyInfo) != string(cert.RawSubjectPublicKeyInfo) {
		t.Error("renewed with another key: who trusted the key must do so again")
	}
	if running := leaf(first); !running.NotAfter.Equal(renewed.NotAfter) {
		t.Error("not renewed in a server that runs")
	}
}

func TestDevCertDamaged(t *testing.T) {
	for _, test := range []struct{ name, file, content string }{
		{"no certificate", "cert.pem", ""},
		{"no key", "key.pem", ""},
		{"garbage for a certificate", "cert.pem", "garbage"},
		{"garbage for a key", "key.pem", "garbage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := openDevCert(dir, time.Now); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, test.file)
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if test.content == "" {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := openDevCert(dir, time.Now); err != nil {
				t.Fatal(err)
			}
			if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
				t.Error("not mended:", err)
			}
		})
	}
}

// Where the config folder can't be written, the command works all the same.
func TestUserDevCertInMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", file)
	t.Setenv("HOME", file)
	t.Setenv("AppData", file)
	d, inMemory, err := userDevCert()
	if err != nil || inMemory == nil || d.certFile() != "" {
		t.Fatalf("got %v, %v, %v; want a certificate in memory and the reason", d, inMemory, err)
	}
	if _, err := d.get(nil); err != nil {
		t.Error(err)
	}
}
