package main

import (
	"crypto/tls"
	"fmt"
	"os"
)

// logKeys makes a TLS config write its secrets to the file that the environment variable SSLKEYLOGFILE names, as
// browsers and curl do, so that Wireshark can decrypt. It returns what closes the file.
func logKeys(config *tls.Config) (closeFile func(), err error) {
	name := os.Getenv("SSLKEYLOGFILE")
	if name == "" {
		return func() {}, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("SSLKEYLOGFILE: %w", err)
	}
	config.KeyLogWriter = f
	return func() { f.Close() }, nil
}
