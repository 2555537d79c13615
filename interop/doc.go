// Package interop holds the tests of Dunlin against other people's software: quic-go, golang.org/x/net/quic, ngtcp2,
// Chromium, and those who wish it ill. It is a module of its own, so that Dunlin's users download none of that.
//
//	cd interop && go test ./...
//
// A test whose peer is not installed is skipped, but fails where the environment variable CI is "true".
// docs/INTEROP.md lists the peers and cases.
package interop
