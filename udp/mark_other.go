//go:build !linux

package udp

// canMark says that system sockets know Config.Mark.
const canMark = false
