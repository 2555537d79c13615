// Package interop holds the tests of Dunlin against other people's software: quic-go, golang.org/x/net/quic, ngtcp2,
// Chromium, and those who wish it ill. It is a module of its own, so that Dunlin's users download none of that.
//
//	cd interop && go test ./...
//
// A test whose peer is not installed is skipped, but fails where the environment variable CI is "true".
// Those of Debian 13 run where the flag -debian13 says that there is a root of it, which debian13.sh makes; they and quic-go's
// programs for the interop runner take root. docs/INTEROP.md lists the peers and cases.
package interop
