package main

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed *.index
var indexFiles embed.FS

// rfcs are the documents that the index is about.
var rfcs = []int{9000, 9001, 9002}

// ruleID names a rule: a sentence of an RFC with at least one MUST or MUST NOT.
type ruleID struct {
	rfc     int
	section string // such as 4.1, or B.2 in an appendix
	ordinal int    // among the rules of the section, from 1
}

func (id ruleID) String() string {
	return fmt.Sprintf("RFC %d, Section %s (MUST %d)", id.rfc, id.section, id.ordinal)
}

// rule is an entry of the index.
type rule struct {
	ruleID
	hash       string // see hashSentence
	paraphrase string
	excuse     string // why it is not cited; empty if it has to be
}

// readIndex reads the files beside this one.
func readIndex() ([]rule, error) {
	var index []rule
	for _, rfc := range rfcs {
		name := fmt.Sprintf("rfc%d.index", rfc)
		b, err := indexFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		rules, err := parseIndex(rfc, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		index = append(index, rules...)
	}
	return index, nil
}

// parseIndex reads the entries of one RFC. Each is a line with section, ordinal, hash and paraphrase, and perhaps one
// more that begins with a tab, "excused:" and the reason. Lines that begin with # are comments.
func parseIndex(rfc int, b []byte) ([]rule, error) {
	var rules []rule
	seen := make(map[ruleID]bool)
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch excuse, indented := strings.CutPrefix(line, "\t"); {
		case line == "" || line[0] == '#':
		case indented:
			reason, ok := strings.CutPrefix(excuse, "excused: ")
			if !ok || reason == "" || len(rules) == 0 || rules[len(rules)-1].excuse != "" {
				return nil, fmt.Errorf("line %d: want one excuse, with its reason, below its rule", n)
			}
			rules[len(rules)-1].excuse = reason
		default:
			f := strings.SplitN(line, " ", 4)
			if len(f) < 4 || len(f[2]) != hashLen || f[3] == "" {
				return nil, fmt.Errorf("line %d: want section, ordinal, hash and paraphrase", n)
			}
			ordinal, err := strconv.Atoi(f[1])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			r := rule{ruleID{rfc, f[0], ordinal}, f[2], f[3], ""}
			if seen[r.ruleID] {
				return nil, fmt.Errorf("line %d: %v a second time", n, r.ruleID)
			}
			seen[r.ruleID] = true
			rules = append(rules, r)
		}
	}
	return rules, lines.Err()
}
