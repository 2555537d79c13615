package main

import (
	"cmp"
	"fmt"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// finding is one violation.
type finding struct {
	pos     token.Position
	message string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s", f.pos.Filename, f.pos.Line, f.message)
}

// check reads the module in root and returns what violates the rules, in the order of files and lines.
func check(root string) ([]finding, error) {
	m, err := load(root)
	if err != nil {
		return nil, err
	}
	var c checker
	c.module = m
	chains := m.sansIO()
	for _, rel := range slices.Sorted(maps.Keys(m.packages)) {
		p := m.packages[rel]
		c.arrows(p)
		if chain, ok := chains[rel]; ok {
			c.sansIO(p, chain)
		}
	}
	slices.SortFunc(c.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.pos.Filename, b.pos.Filename), cmp.Compare(a.pos.Line, b.pos.Line),
			cmp.Compare(a.message, b.message))
	})
	return slices.Compact(c.findings), nil
}

type checker struct {
	module   *module
	findings []finding
}

func (c *checker) report(pos token.Pos, format string, args ...any) {
	c.findings = append(c.findings, finding{c.module.fset.Position(pos), fmt.Sprintf(format, args...)})
}

// arrows checks the imports of one package against its room's.
func (c *checker) arrows(p *pkg) {
	r := roomOf(p.rel)
	if r == nil {
		c.report(p.files[0].ast.Package, "package %s has no room: add it to internal/archlint/rooms.go", p.rel)
		return
	}
	for _, f := range p.files {
		for _, imp := range f.imports {
			if rel, ok := c.module.within(imp.path); ok {
				if !r.mayImport(rel) {
					c.report(imp.pos, "%s may not import %s: %s", p.rel, rel, r.why)
				}
				continue
			}
			if why := r.foreign(imp.path); why != "" {
				c.report(imp.pos, "%s may not import %s: %s", p.rel, imp.path, why)
			}
		}
	}
}

// sansIO returns the packages that must be free of input and output: those of sansIORoots and whatever of the module
// they import, each with the chain of imports that leads there. An import against the arrows is a violation of its own
// and not followed.
func (m *module) sansIO() map[string]string {
	chains := make(map[string]string)
	var visit func(rel, chain string)
	visit = func(rel, chain string) {
		p := m.packages[rel]
		if _, seen := chains[rel]; seen || p == nil {
			return
		}
		chains[rel] = chain
		for _, f := range p.files {
			for _, imp := range f.imports {
				if target, ok := m.within(imp.path); ok && roomOf(rel).mayImport(target) {
					visit(target, chain+" → "+target)
				}
			}
		}
	}
	for _, root := range sansIORoots {
		visit(root, root)
	}
	return chains
}

// isStandard reports whether an import path is of the standard library: its first element has no dot.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
