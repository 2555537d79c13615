package http3

import (
	_ "net/http"

	_ "example.com/flock/cmd/flock" // want "http3 may not import cmd/flock: "
	_ "example.com/flock/h3driver"
)
