//go:build unix

package main

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A named pipe must not keep a request waiting for a writer.
func TestFolderNamedPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Skip("no named pipes here:", err)
	}
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest("GET", "https://localhost/pipe", nil))
	if w.Code != 404 {
		t.Errorf("status %d, want 404", w.Code)
	}
	w = httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest("GET", "https://localhost/", nil))
	if strings.Contains(w.Body.String(), "pipe") {
		t.Error("the listing shows a named pipe")
	}
}
