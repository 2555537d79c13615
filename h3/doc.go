// Package h3 is HTTP/3 (RFC 9114) over a quic.Conn as a state machine: no sockets, no goroutines, no clock, no locks.
package h3
