package qpack

import (
	"time"

	_ "example.com/flock/quic" // want "h3/qpack may not import quic: "
)

var _ *time.Timer // want "time.Timer: the sans-IO core has no clock; time comes in as an argument \(h3/qpack\)"
