// Package engine runs QUIC connections on UDP sockets.
package engine
