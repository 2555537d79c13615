package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Sessions live in a file from one run to the next, and early data is sent with them.
func TestGetSession(t *testing.T) {
	s := startServe(t, "--0rtt", writeFiles(t, map[string]string{"a.txt": "0123456789"}))
	file := filepath.Join(t.TempDir(), "sessions.json")
	var last []byte
	early := false
	for i := range 20 {
		r := mustDunlin(t, "get", "-v", "--cacert", s.cacert, "--session", file, "--0rtt", s.url+"a.txt")
		if r.out != "0123456789" {
			t.Errorf("run %d: got %q", i, r.out)
		}
		now, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(now, last) {
			t.Errorf("run %d: no new session", i)
		}
		last = now
		// A server that is as fast as the client may have answered before that says what it does.
		if early = strings.Contains(r.err, "* Sending early data to"); early {
			if i == 0 {
				t.Error("early data without a session")
			}
			break
		}
	}
	if !early {
		t.Error("no early data")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is for others to read: %v, %v", info.Mode(), err)
	}
}

func TestGetSessionErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sessions.json")
	if err := os.WriteFile(file, []byte("a list"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--0rtt"},
		{"--session", file},
		{"--session", t.TempDir()},
	} {
		r := dunlin(t, "", append(append([]string{"get"}, args...), "https://localhost:1/")...)
		if r.status == 0 || !strings.Contains(r.err, "--session") {
			t.Errorf("%q: status %d, %s", args, r.status, r.err)
		}
	}
}
