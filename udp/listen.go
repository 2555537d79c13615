package udp

import "net"

// Listen opens a socket bound to address, such as "127.0.0.1:4433", "[::1]:0" or ":4433" (every address of both
// families). cfg may be nil.
func Listen(address string, cfg *Config) (Socket, error) { panic("skeleton") }

// Wrap adopts pc, which must not be used any more except through the Socket. A *net.UDPConn gets all that the system can do.
func Wrap(pc net.PacketConn, cfg *Config) (Socket, error) { panic("skeleton") }
