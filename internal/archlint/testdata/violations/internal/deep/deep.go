package deep

import (
	_ "golang.org/x/sys/unix" // want "the sans-IO core may not import golang.org/x/sys/unix \(quic → internal/deep\)"
	_ "net/http"              // want "the sans-IO core may not import net/http" "and net/http stands above it"
	_ "unsafe"

	_ "example.com/flock/internal/simnet" // want "internal/deep may not import internal/simnet: "
	_ "example.com/flock/quic"            // want "internal/deep may not import quic: the internal packages of the core"
)

//go:linkname nanotime runtime.nanotime // want "go:linkname reaches around every rule \(quic → internal/deep\)"
func nanotime() int64
