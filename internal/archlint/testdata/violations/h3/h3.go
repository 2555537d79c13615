package h3

import _ "example.com/flock/engine" // want "h3 may not import engine: "
