package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// module is the parsed source of a Go module without its tests.
type module struct {
	path     string // as go.mod says
	fset     *token.FileSet
	packages map[string]*pkg // by path below the module's, "." for the root
}

// pkg is one folder of the module.
type pkg struct {
	rel   string // path below the module's, with slashes
	files []*file
}

// file is one source file, of whatever platform.
type file struct {
	ast     *ast.File
	imports []imported
}

// imported is one import declaration.
type imported struct {
	path string // as written
	name string // what the file calls it
	pos  token.Pos
}

// load parses every Go file below root but tests, testdata and modules nested in this one.
func load(root string) (*module, error) {
	name, err := modulePath(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := &module{path: name, fset: token.NewFileSet(), packages: make(map[string]*pkg)}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return m.enter(root, p, d.Name())
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		return m.parse(root, p)
	})
	if err != nil {
		return nil, err
	}
	if len(m.packages) == 0 {
		return nil, fmt.Errorf("%s: no Go files found", root)
	}
	return m, nil
}

// enter says whether the walk goes into a folder.
func (m *module) enter(root, dir, base string) error {
	if dir == root {
		return nil
	}
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (m *module) parse(root, p string) error {
	parsed, err := parser.ParseFile(m.fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, filepath.Dir(p))
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	f := &file{ast: parsed}
	for _, spec := range parsed.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		f.imports = append(f.imports, imported{path: target, name: localName(spec, target), pos: spec.Pos()})
	}
	if m.packages[rel] == nil {
		m.packages[rel] = &pkg{rel: rel}
	}
	m.packages[rel].files = append(m.packages[rel].files, f)
	return nil
}

// localName is what a file calls an imported package. For packages of the standard library, the only ones that rules
// look into, the last element that is not a major version is the name.
func localName(spec *ast.ImportSpec, target string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(target)
	if base == "v2" {
		base = path.Base(path.Dir(target))
	}
	return base
}

// within returns the path below the module's of an import of the module itself.
func (m *module) within(importPath string) (rel string, ok bool) {
	if importPath == m.path {
		return ".", true
	}
	return strings.CutPrefix(importPath, m.path+"/")
}

func modulePath(gomod string) (string, error) {
	content, err := os.ReadFile(gomod)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.Trim(strings.TrimSpace(rest), `"`), nil
		}
	}
	return "", fmt.Errorf("%s: no module line", gomod)
}
