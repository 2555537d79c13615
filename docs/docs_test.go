// Package docs keeps what the documents say true, as far as a program can.
package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
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

// documents are those for users and maintainers, of which this folder's tests hold what a program can tell.
var documents = []string{
	"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
	"docs/FEATURES.md", "docs/TOKIO-QUICHE.md", "docs/INTEROP.md", "docs/SECURITY-TESTS.md", "docs/CONGESTION.md", "docs/BENCHMARKS.md",
}

// The tests that the documents name are there, in the packages that they name.
func TestNamedTests(t *testing.T) {
	tests := declaredTests(t)
	anywhere := make(map[string]bool)
	for _, names := range tests {
		for name := range names {
			anywhere[name] = true
		}
	}
	// `package: TestOne, TestTwo`, as in the table of features.
	reference := regexp.MustCompile("`([a-z0-9/]+): ((?:Test|Fuzz|Example)[\\w, ]*)`")
	bare := regexp.MustCompile("`(Test[A-Z]\\w*)`")
	for _, doc := range documents {
		text := read(t, doc)
		references := reference.FindAllStringSubmatch(text, -1)
		if (doc == "docs/FEATURES.md" || doc == "docs/SECURITY-TESTS.md") && len(references) < 50 {
			t.Errorf("only %d references to tests found in %s", len(references), doc)
		}
		for _, m := range references {
			for name := range strings.SplitSeq(m[2], ", ") {
				if !tests[m[1]][name] {
					t.Errorf("%s: package %s has no %s", doc, m[1], name)
				}
			}
		}
		for _, m := range bare.FindAllStringSubmatch(text, -1) {
			if doc == "docs/INTEROP.md" && !tests["interop"][m[1]] || !anywhere[m[1]] {
				t.Errorf("%s: no %s", doc, m[1])
			}
		}
	}
}

// The commands that run single tests find some, for each alternative of their patterns.
func TestNamedCommands(t *testing.T) {
	tests := declaredTests(t)
	command := regexp.MustCompile("(cd interop && )?go test ([^`\\n]*)")
	pattern := regexp.MustCompile(`-(?:run|fuzz|bench)[ =]('[^']*'|\S+)`)
	folder := regexp.MustCompile(`(?:^| )\.(?:/([\w/]+))?(?: |\)|$)`)
	found := 0
	for _, doc := range documents {
		for _, m := range command.FindAllStringSubmatch(read(t, doc), -1) {
			packages := []string{"interop"}
			if m[1] == "" {
				packages = nil
				for _, f := range folder.FindAllStringSubmatch(strings.ReplaceAll(m[2], " ", "  "), -1) {
					packages = append(packages, f[1])
				}
			}
			for _, p := range pattern.FindAllStringSubmatch(m[2], -1) {
				expression := strings.ReplaceAll(strings.Trim(p[1], "')"), `\|`, "|") // a | in a table
				expression, _, _ = strings.Cut(expression, "/")                       // a subtest
				for alternative := range strings.SplitSeq(expression, "|") {
					if alternative == "^$" || alternative == "^TestName$" || alternative == "..." {
						continue
					}
					found++
					if re, err := regexp.Compile(alternative); err != nil || !anyMatch(tests, packages, re) {
						t.Errorf("%s: go test %s: nothing called %s in %q", doc, m[2], alternative, packages)
					}
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d patterns found", found)
	}
}

// Links between the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	for _, doc := range documents {
		for _, m := range link.FindAllStringSubmatch(read(t, doc), -1) {
			target := doc
			if m[1] != "" {
				target = path.Join(path.Dir(doc), m[1])
			}
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: %v", doc, err)
			} else if m[2] != "" && !slices.Contains(anchors(read(t, target)), m[2]) {
				t.Errorf("%s: no heading %q in %s", doc, m[2], target)
			}
		}
	}
}

// The page of the rooms has every package.
func TestEveryPackageHasARoom(t *testing.T) {
	page := read(t, "ARCHITECTURE.md")
	for _, m := range regexp.MustCompile(`([\w/]+)/\{([^}]*)\}`).FindAllStringSubmatch(page, -1) {
		for name := range strings.SplitSeq(m[2], ",") {
			page += " `" + m[1] + "/" + strings.TrimSpace(name) + "`"
		}
	}
	packages := make(map[string]bool)
	walkGo(t, func(folder, name string) {
		packages[folder] = packages[folder] || !strings.HasSuffix(name, "_test.go")
	})
	for folder, code := range packages {
		switch top, _, _ := strings.Cut(folder, "/"); {
		case !code, folder == ".", top == "interop", top == "bench", top == "examples", folder == "cmd/dunlin":
			continue // the drawing has them as wholes
		}
		if !strings.Contains(page, "`"+folder+"`") {
			t.Errorf("ARCHITECTURE.md does not say what %s is", folder)
		}
	}
}

// Prose has lines of about 120 columns, and never more than 140; tables, links and what is between fences are as wide as they have to be.
func TestLineWidths(t *testing.T) {
	for _, doc := range documents {
		fenced := false
		for i, line := range strings.Split(read(t, doc), "\n") {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			if !fenced && !strings.HasPrefix(line, "|") && utf8.RuneCountInString(line) > 140 {
				t.Errorf("%s:%d: %d columns", doc, i+1, utf8.RuneCountInString(line))
			}
		}
	}
}

// declaredTests returns the names of tests, fuzz targets, examples and benchmarks, by package.
var declaredTests = func() func(t *testing.T) map[string]map[string]bool {
	var tests map[string]map[string]bool
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
	return func(t *testing.T) map[string]map[string]bool {
		if tests != nil {
			return tests
		}
		tests = make(map[string]map[string]bool)
		walkGo(t, func(folder, name string) {
			if !strings.HasSuffix(name, "_test.go") {
				return
			}
			if tests[folder] == nil {
				tests[folder] = make(map[string]bool)
			}
			for _, m := range declared.FindAllStringSubmatch(read(t, path.Join(folder, name)), -1) {
				tests[folder][m[1]] = true
			}
		})
		return tests
	}
}()

// anyMatch reports whether one of the packages has a test that the expression matches.
func anyMatch(tests map[string]map[string]bool, packages []string, expression *regexp.Regexp) bool {
	for _, p := range packages {
		for name := range tests[p] {
			if expression.MatchString(name) {
				return true
			}
		}
	}
	return false
}

// anchors returns the names that GitHub gives to the headings of a page.
func anchors(page string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// walkGo calls f for every Go file of the module and of those below it, with its folder from the root.
func walkGo(t *testing.T, f func(folder, name string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name != ".." && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel("..", p)
		if err == nil && strings.HasSuffix(rel, ".go") {
			f(path.Dir(filepath.ToSlash(rel)), d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
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
