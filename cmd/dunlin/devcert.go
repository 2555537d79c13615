package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// Browsers accept a certificate by its hash, without any authority, if it is ECDSA and valid for at most 14 days
	// (W3C WebTransport, custom certificate requirements). A day is left for clocks that disagree.
	devCertLifetime = 13 * 24 * time.Hour
	devCertRenewal  = 3 * 24 * time.Hour // before the end
	devCertBackdate = time.Hour
)

// devCert is a self-signed certificate for localhost, kept in a folder so that who trusted it once need not do so
// again. It is renewed before it expires, also while a server runs; its key stays, and with it the hash of the key that
// Chromium's flag names.
type devCert struct {
	dir string // "" keeps it in memory
	now func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

// openDevCert returns the certificate kept in dir, or makes one.
func openDevCert(dir string, now func() time.Time) (*devCert, error) {
	d := &devCert{dir: dir, now: now}
	_, err := d.get(nil)
	return d, err
}

// userDevCert is openDevCert in the user's config folder. Where that can't be had or written, the certificate lives as
// long as the process and the reason is returned beside it.
func userDevCert() (d *devCert, inMemory, err error) {
	config, inMemory := os.UserConfigDir()
	if inMemory == nil {
		d, inMemory = openDevCert(filepath.Join(config, "dunlin"), time.Now)
	}
	if inMemory != nil {
		d, err = openDevCert("", time.Now)
	}
	return d, inMemory, err
}

// get is a tls.Config's GetCertificate.
func (d *devCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil && d.dir != "" {
		d.current = d.load()
	}
	if d.current != nil && d.now().Add(devCertRenewal).Before(d.current.Leaf.NotAfter) {
		return d.current, nil
	}
	renewed, err := d.renew()
	if err != nil {
		if d.current != nil && d.now().Before(d.current.Leaf.NotAfter) {
			return d.current, nil // it still serves for a while
		}
		return nil, fmt.Errorf("development certificate: %w", err)
	}
	d.current = renewed
	return renewed, nil
}

// certFile and keyFile are where it is kept, "" if in memory only.
func (d *devCert) certFile() string { return d.file("cert.pem") }
func (d *devCert) keyFile() string  { return d.file("key.pem") }

func (d *devCert) file(name string) string {
	if d.dir == "" {
		return ""
	}
	return filepath.Join(d.dir, name)
}

// spki is the hash of the public key that Chromium's --ignore-certificate-errors-spki-list takes.
func (d *devCert) spki() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := sha256.Sum256(d.current.Leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (d *devCert) notAfter() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current.Leaf.NotAfter
}

// pool holds the certificate as the only authority.
func (d *devCert) pool() *x509.CertPool {
	d.mu.Lock()
	defer d.mu.Unlock()
	pool := x509.NewCertPool()
	pool.AddCert(d.current.Leaf)
	return pool
}

// load returns the certificate in the folder if it is one of ours and fits its key, else nil.
func (d *devCert) load() *tls.Certificate {
	cert, err := tls.LoadX509KeyPair(d.certFile(), d.keyFile())
	if err != nil || cert.Leaf == nil {
		return nil
	}
	for _, name := range devCertNames() {
		if cert.Leaf.VerifyHostname(name) != nil {
			return nil
		}
	}
	if cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore) > devCertLifetime+devCertBackdate {
		return nil
	}
	return &cert
}

func devCertNames() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// renew makes a certificate with the key at hand, or a new one, and keeps both.
func (d *devCert) renew() (*tls.Certificate, error) {
	key, err := d.key()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := d.now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Dunlin development certificate"},
		NotBefore:             now.Add(-devCertBackdate),
		NotAfter:              now.Add(devCertLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range devCertNames() {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if d.dir != "" {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := writeFile(d.certFile(), block, 0o644); err != nil {
			return nil, err
		}
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// key returns the key in use, the one in the folder, or a new one, which it keeps.
func (d *devCert) key() (*ecdsa.PrivateKey, error) {
	if d.current != nil {
		return d.current.PrivateKey.(*ecdsa.PrivateKey), nil
	}
	if d.dir != "" {
		key, err := readKey(d.keyFile())
		if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotOurKey) {
			return key, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil || d.dir == "" {
		return key, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	return key, writeFile(d.keyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

var errNotOurKey = errors.New("not an ECDSA P-256 key in PEM")

func readKey(name string) (*ecdsa.PrivateKey, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errNotOurKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errNotOurKey
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errNotOurKey
	}
	return key, nil
}

// writeFile replaces a file as a whole, so that a second process never reads half of one.
func writeFile(name string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
