package main

import (
	_ "net/http"

	_ "github.com/spf13/cobra"

	_ "example.com/flock/http3"
	_ "example.com/flock/internal/simnet" // want "cmd/flock may not import internal/simnet: "
)
