package h3driver

import (
	_ "net/http/httputil" // want "h3driver may not import net/http/httputil: "

	_ "example.com/flock/http3" // want "h3driver may not import http3: "
)
