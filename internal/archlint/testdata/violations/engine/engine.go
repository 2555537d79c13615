package engine

import (
	_ "net"
	_ "net/http" // want "engine may not import net/http: engine drives connections over sockets and knows no HTTP"
	_ "os"

	_ "github.com/spf13/cobra" // want "outside of the commands, Dunlin needs the standard library and golang.org/x only"
	_ "golang.org/x/sys/unix"

	_ "example.com/flock/h3"              // want "engine may not import h3: "
	_ "example.com/flock/internal/simnet" // want "engine may not import internal/simnet: "
	_ "example.com/flock/quic"
	_ "example.com/flock/udp"
)
