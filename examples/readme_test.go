// Package examples keeps the README's programs true.
package examples

import (
	"os"
	"strings"
	"testing"
)

// TestReadme wants the README to show the example programs as they are, without their first comment.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server", "client"} {
		program, err := os.ReadFile(name + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		_, code, _ := strings.Cut(string(program), "\n")
		if want := "```go\n" + code + "```\n"; !strings.Contains(string(readme), want) {
			t.Errorf("README.md does not show examples/%s/main.go:\n%s", name, want)
		}
	}
}
