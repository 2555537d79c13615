package quic

import (
	. "net"  // want "may not import net as .\..: "
	_ "time" // want "may not import time as ._.: "
)

var _ Conn2

type Conn2 = IP
