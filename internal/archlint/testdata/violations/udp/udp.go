package udp

import (
	_ "net"

	_ "example.com/flock/internal/deep" // want "udp may not import internal/deep: udp makes sockets fast and knows no QUIC"
	_ "example.com/flock/quic"          // want "udp may not import quic: "
)

func start() { go start() }
