package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// citation is a place in the sources that names a rule.
type citation struct {
	ruleID
	file string // with slashes, below the root
	line int    // of the comment
	test bool
}

func (c citation) String() string { return fmt.Sprintf("%s:%d", c.file, c.line) }

var (
	// citationForm is what a comment cites rules with, or the name of an RFC, which holds for what follows.
	citationForm = regexp.MustCompile(`RFC (\d+)|Sections? ([0-9A-Z][0-9.]*) \(MUST (\d+(?:, \d+)*)\)`)
	// citationHint finds what was likely meant to be one.
	citationHint = regexp.MustCompile(`\(MUSTS? `)
)

// readCitations reads the comments of every Go file below root, of all modules and platforms, tests included.
func readCitations(root string) ([]citation, error) {
	var found []citation
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); p != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") ||
				p == filepath.Join(root, "internal", "musts")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			ids, err := parseCitations(group.Text())
			line := fset.Position(group.Pos()).Line
			if err != nil {
				return fmt.Errorf("%s:%d: %w", p, line, err)
			}
			for _, id := range ids {
				found = append(found, citation{id, filepath.ToSlash(rel), line, strings.HasSuffix(p, "_test.go")})
			}
		}
		return nil
	})
	return found, err
}

// parseCitations returns the rules that a comment cites.
func parseCitations(comment string) ([]ruleID, error) {
	if !strings.Contains(comment, "(MUST") {
		return nil, nil
	}
	comment = strings.Join(strings.Fields(comment), " ") // it may be wrapped anywhere
	var ids []ruleID
	rfc, citations := 0, 0
	for _, m := range citationForm.FindAllStringSubmatch(comment, -1) {
		if m[1] != "" {
			rfc, _ = strconv.Atoi(m[1])
			continue
		}
		citations++
		if rfc == 0 {
			return nil, fmt.Errorf("the citation of Section %s names no RFC", m[2])
		}
		for ordinal := range strings.SplitSeq(m[3], ", ") {
			n, err := strconv.Atoi(ordinal)
			if err != nil {
				return nil, err
			}
			ids = append(ids, ruleID{rfc, m[2], n})
		}
	}
	if citations != len(citationHint.FindAllString(comment, -1)) {
		return nil, fmt.Errorf("a citation that is not of the form RFC 9000, Section 4.1 (MUST 2)")
	}
	return ids, nil
}
