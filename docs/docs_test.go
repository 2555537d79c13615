// Package docs keeps what the documents say true, as far as a program can.
package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README shows the example programs as they are, without their first comment.
func TestReadmePrograms(t *testing.T) {
	readme := read(t, "README.md")
	for _, name := range []string{"server", "client"} {
		_, code, _ := strings.Cut(read(t, "examples/"+name+"/main.go"), "\n")
		if want := "```go\n" + code + "```\n"; !strings.Contains(readme, want) {
			t.Errorf("README.md does not show examples/%s/main.go:\n%s", name, want)
		}
	}
}

// The tests that the documents name are there, in the packages that they name.
func TestNamedTests(t *testing.T) {
	functions := make(map[string]map[string]bool) // by package
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, "_test.go") {
			return err
		}
		rel, err := filepath.Rel("..", filepath.Dir(p))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if functions[pkg] == nil {
			functions[pkg] = make(map[string]bool)
		}
		for _, m := range declared.FindAllStringSubmatch(read(t, path.Join(pkg, filepath.Base(p))), -1) {
			functions[pkg][m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	exists := func(name string) bool {
		for _, names := range functions {
			for declared := range names {
				if strings.HasPrefix(declared, name) { // what -run matches
					return true
				}
			}
		}
		return false
	}
	// In tables: `package: TestOne, TestTwo`.
	row := regexp.MustCompile("`([a-z0-9/]+): ((?:Test|Fuzz|Example)[\\w, ]*)`")
	for _, doc := range []string{"docs/FEATURES.md", "docs/SECURITY-TESTS.md"} {
		rows := row.FindAllStringSubmatch(read(t, doc), -1)
		if len(rows) < 50 {
			t.Errorf("only %d references to tests found in %s", len(rows), doc)
		}
		for _, m := range rows {
			for name := range strings.SplitSeq(m[2], ", ") {
				if !functions[m[1]][name] {
					t.Errorf("%s: package %s has no %s", doc, m[1], name)
				}
			}
		}
	}
	mentioned := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	for _, doc := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/INTEROP.md", "docs/SECURITY-TESTS.md"} {
		for _, name := range mentioned.FindAllString(read(t, doc), -1) {
			if name != "TestName" && !exists(name) {
				t.Errorf("%s: no %s", doc, name)
			}
		}
	}
}

// Links between the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, doc := range []string{
		"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/FEATURES.md", "docs/INTEROP.md",
		"docs/SECURITY-TESTS.md",
	} {
		for _, m := range link.FindAllStringSubmatch(read(t, doc), -1) {
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
}

// read returns a file below the module's root.
func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
