package quic

import "syscall" // want "the sans-IO core may not import syscall \(quic\)"

var _ = syscall.Getpid
