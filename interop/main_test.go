package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(attackEnv) != "" {
		runAttacker()
		return
	}
	if os.Getenv(mortalEnv) != "" {
		runMortal()
		return
	}
	status := m.Run()
	if dir, err := builtDir(); err == nil {
		os.RemoveAll(dir)
	}
	if left := leakedGoroutines(30 * time.Second); left != "" && status == 0 {
		fmt.Fprintf(os.Stderr, "goroutines are left after all tests:\n%s\n", left)
		status = 1
	}
	os.Exit(status)
}

// need returns the path of a peer's program.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	// Debian keeps servers where only root's PATH leads.
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", program)); err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and CI=true wants this test", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

var builtDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "dunlin-interop") })

// command returns the path of a freshly built dunlin.
var buildCommand = sync.OnceValues(func() (string, error) {
	dir, err := builtDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "dunlin")
	build := exec.Command("go", "build", "-o", path, "./cmd/dunlin")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func command(t *testing.T) string {
	t.Helper()
	path, err := buildCommand()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// leakedGoroutines returns the stacks of goroutines with frames of Dunlin that do not end within limit.
func leakedGoroutines(limit time.Duration) string {
	own := regexp.MustCompile(`(?m)^github\.com/dunlin-quic/dunlin/(quic|h3|h3driver|engine|udp|http3|internal)\b`)
	deadline := time.Now().Add(limit)
	for {
		var left []string
		for _, stack := range goroutines() {
			if own.MatchString(stack) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
