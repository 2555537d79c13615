package quic

import (
	"net"
	"sync"
	"time"

	_ "example.com/flock/internal/wire"
)

var pool sync.Pool

func Closed(now time.Time) error { return net.ErrClosed }
