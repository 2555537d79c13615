// Command archlint checks the architecture that ARCHITECTURE.md draws: which package may import which, and that the
// sans-IO core does no input or output, starts no goroutine, reads no clock, takes no lock and draws no hidden
// randomness. It reads the sources of every platform, not only those that build here.
//
//	go run ./internal/archlint [FOLDER OF THE MODULE]
//
// It prints one line for each violation, as file:line: message, and exits with status 1 if there is any. The same
// check runs as a test of this package.
package main

import (
	"fmt"
	"os"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	findings, err := check(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "archlint:", err)
		os.Exit(2)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
	if len(findings) > 0 {
		fmt.Fprintf(os.Stderr, "archlint: %d violation(s) of the architecture\n", len(findings))
		os.Exit(1)
	}
}
