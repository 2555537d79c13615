// Package quic is a QUIC version 1 connection (RFC 8999, 9000, 9001, 9002) as a state machine: no sockets, no
// goroutines, no clock, no locks.
package quic
