package quic

import "os"

var _ = os.Args
