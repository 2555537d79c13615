// Package wire encodes and decodes what QUIC puts into datagrams: variable-length integers, packet headers, frames and
// transport parameters. It keeps no state and decides nothing.
package wire
