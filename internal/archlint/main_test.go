package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestModule holds this very module to its architecture.
func TestModule(t *testing.T) {
	findings, err := check(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// TestRoots fails when a root of the sans-IO core is renamed and thereby escapes the rules.
func TestRoots(t *testing.T) {
	m, err := load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range sansIORoots {
		if m.packages[root] == nil {
			t.Errorf("package %s is not in the module", root)
		}
	}
	if chains := m.sansIO(); chains["internal/wire"] == "" {
		t.Error("internal/wire is not found to be part of the sans-IO core")
	}
}

func TestClean(t *testing.T) {
	findings, err := check("testdata/clean")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("unexpected: %s", f)
	}
}

// TestViolations wants, on each line of testdata/violations that ends in a comment // want "regexp" ..., exactly the
// findings that the comment names, and none elsewhere.
func TestViolations(t *testing.T) {
	const root = "testdata/violations"
	findings, err := check(root)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for _, f := range findings {
		at := fmt.Sprintf("%s:%d", f.pos.Filename, f.pos.Line)
		got[at] = append(got[at], f.message)
	}
	wants := expectations(t, root)
	if len(wants) < 30 {
		t.Fatalf("found only %d lines with expectations", len(wants))
	}
	for at, patterns := range wants {
		if len(patterns) != len(got[at]) {
			t.Errorf("%s: want %d finding(s), got %q", at, len(patterns), got[at])
			continue
		}
		for _, pattern := range patterns {
			if !regexp.MustCompile(pattern).MatchString(strings.Join(got[at], "\n")) {
				t.Errorf("%s: no finding matches %q in %q", at, pattern, got[at])
			}
		}
	}
	for at, messages := range got {
		if wants[at] == nil {
			t.Errorf("%s: unexpected %q", at, messages)
		}
	}
}

func expectations(t *testing.T, root string) map[string][]string {
	t.Helper()
	quoted := regexp.MustCompile(`"([^"]*)"`)
	wants := make(map[string][]string)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".go" {
			return err
		}
		content, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(content), "\n") {
			_, comment, ok := strings.Cut(line, "// want ")
			if !ok {
				continue
			}
			at := fmt.Sprintf("%s:%d", p, i+1)
			for _, m := range quoted.FindAllStringSubmatch(comment, -1) {
				wants[at] = append(wants[at], m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return wants
}

func TestErrors(t *testing.T) {
	if _, err := check("testdata"); err == nil {
		t.Error("a folder without go.mod passes")
	}
	broken := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(broken, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/flock\n")
	if _, err := check(broken); err == nil {
		t.Error("a module without Go files passes")
	}
	write("broken.go", "package flock\nfunc {")
	if _, err := check(broken); err == nil {
		t.Error("a file that does not parse passes")
	}
}
