// Package leakcheck fails the tests of a package whose goroutines outlive them.
package leakcheck

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines on their way out are given to go. A connection that was closed stays for three PTOs (RFC 9000,
// Section 10.2), and with it the endpoint that Dial made for it: on a busy machine, with round trips of a second, that is long.
const patience = 30 * time.Second

// Main is for TestMain: it runs the tests and exits, with a status other than 0 if a goroutine of this module, or one that
// crypto/tls runs for it, is left.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := leakedGoroutines(); leaked != "" {
			fmt.Fprintf(os.Stderr, "goroutines outlived the tests:\n\n%s\n", leaked)
			code = 1
		}
	}
	os.Exit(code)
}

func leakedGoroutines() string {
	deadline := time.Now().Add(patience)
	buf := make([]byte, 4<<20)
	for {
		var left []string
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		for _, g := range stacks[1:] { // the first is this goroutine
			if strings.Contains(g, "/dunlin/") || strings.Contains(g, "crypto/tls") {
				left = append(left, g)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
		runtime.Gosched()
	}
}
