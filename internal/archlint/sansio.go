package main

import (
	"go/ast"
	"slices"
	"strings"
)

// sansIORoots are the packages that promise to be state machines. What they import of the module keeps the promise too.
var sansIORoots = []string{"quic", "h3", "h3/qpack"}

// ioPackages may not be imported by the sans-IO core, nor what lies below them.
var ioPackages = []string{"net", "os", "syscall", "golang.org/x/sys", "golang.org/x/net/ipv4", "golang.org/x/net/ipv6", "C"}

// allowedIO are the exceptions: addresses are values.
var allowedIO = []string{"net/netip"}

// rule restricts what the sans-IO core may use of a package that it may import. Either only a few names are allowed,
// or a few are forbidden.
type rule struct {
	only   []string
	never  []string
	reason string
}

var rules = map[string]rule{
	"net": {only: []string{"ErrClosed"}, reason: "the sans-IO core has no sockets; of package net it may use only ErrClosed"},
	"time": {
		never:  []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep", "Timer", "Ticker"},
		reason: "the sans-IO core has no clock; time comes in as an argument",
	},
	"context": {
		never:  []string{"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
		reason: "the sans-IO core has no clock and no goroutines",
	},
	"sync": {only: []string{"Pool"}, reason: "the sans-IO core takes no lock; of package sync it may use only Pool"},
	"math/rand": {
		only:   []string{"New", "NewSource", "Rand", "Source", "Source64"},
		reason: "hidden randomness does not replay; draw from the config's source",
	},
	"math/rand/v2": {
		only:   []string{"New", "NewPCG", "NewChaCha8", "Rand", "Source", "PCG", "ChaCha8"},
		reason: "hidden randomness does not replay; draw from the config's source",
	},
	"crypto/rand": {
		never:  []string{"Read", "Text"},
		reason: "hidden randomness does not replay; draw from the config's source, whose default is rand.Reader",
	},
}

// sansIO checks that one package does no input or output, starts no goroutine, reads no clock, takes no lock.
func (c *checker) sansIO(p *pkg, chain string) {
	for _, f := range p.files {
		named := make(map[string]string) // packages with a rule, by what the file calls them
		for _, imp := range f.imports {
			if forbiddenImport(imp.path) {
				c.report(imp.pos, "the sans-IO core may not import %s (%s)", imp.path, chain)
				continue
			}
			r, restricted := rules[imp.path]
			if !restricted {
				continue
			}
			if imp.name == "." || imp.name == "_" {
				c.report(imp.pos, "the sans-IO core may not import %s as %q: %s (%s)", imp.path, imp.name, r.reason, chain)
				continue
			}
			named[imp.name] = imp.path
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				c.report(n.Pos(), "go statement: the sans-IO core starts no goroutine (%s)", chain)
			case *ast.SelectorExpr:
				// Without types, a variable that bears the package's name counts as the package: rename it.
				if x, ok := n.X.(*ast.Ident); ok {
					c.use(n, named[x.Name], x.Name, chain)
				}
			}
			return true
		})
		for _, group := range f.ast.Comments {
			for _, comment := range group.List {
				if strings.HasPrefix(comment.Text, "//go:linkname ") {
					c.report(comment.Pos(), "go:linkname reaches around every rule (%s)", chain)
				}
			}
		}
	}
}

// use checks one mention of a name of a restricted package.
func (c *checker) use(n *ast.SelectorExpr, importPath, local, chain string) {
	r, ok := rules[importPath]
	if !ok {
		return
	}
	name := n.Sel.Name
	if slices.Contains(r.never, name) || r.only != nil && !slices.Contains(r.only, name) {
		c.report(n.Pos(), "%s.%s: %s (%s)", local, name, r.reason, chain)
	}
}

// forbiddenImport reports whether the sans-IO core may not import a package at all. Package net is let in for the sake
// of ErrClosed and watched by a rule.
func forbiddenImport(importPath string) bool {
	if importPath == "net" || slices.Contains(allowedIO, importPath) {
		return false
	}
	return slices.ContainsFunc(ioPackages, func(p string) bool {
		return importPath == p || strings.HasPrefix(importPath, p+"/")
	})
}
