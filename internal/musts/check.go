package main

import (
	"fmt"
	"io"
	"strings"
)

// check compares the citations with the index, and returns what is wrong.
func check(index []rule, found []citation) []string {
	var findings []string
	known := make(map[ruleID]bool)
	by := byRule(found)
	for _, r := range index {
		known[r.ruleID] = true
		switch at := by[r.ruleID]; {
		case len(at) == 0 && r.excuse == "":
			findings = append(findings, fmt.Sprintf("%v is neither cited nor excused: %s", r.ruleID, r.paraphrase))
		case len(at) > 0 && r.excuse != "":
			findings = append(findings, fmt.Sprintf("%v: %v is excused, but cited", at[0], r.ruleID))
		}
	}
	for _, c := range found {
		if !known[c.ruleID] {
			findings = append(findings, fmt.Sprintf("%v: %v is not in the index", c, c.ruleID))
		}
	}
	return findings
}

// byRule groups citations.
func byRule(found []citation) map[ruleID][]citation {
	by := make(map[ruleID][]citation)
	for _, c := range found {
		by[c.ruleID] = append(by[c.ruleID], c)
	}
	return by
}

// keptBy says how a rule is accounted for.
func keptBy(r rule, at []citation) string {
	for _, c := range at {
		if c.test {
			return "test"
		}
	}
	switch {
	case len(at) > 0:
		return "code"
	case r.excuse != "":
		return "excused"
	}
	return "missing"
}

// summary counts the rules by what keeps them.
func summary(index []rule, found []citation) string {
	n := make(map[string]int)
	by := byRule(found)
	for _, r := range index {
		n[keptBy(r, by[r.ruleID])]++
	}
	return fmt.Sprintf("%d rules: %d cited in tests, %d in code alone, %d excused, %d missing",
		len(index), n["test"], n["code"], n["excused"], n["missing"])
}

// list writes every rule, with what keeps it.
func list(w io.Writer, index []rule, found []citation) {
	by := byRule(found)
	for _, r := range index {
		at := by[r.ruleID]
		var places []string
		for _, c := range at {
			places = append(places, c.String())
		}
		if r.excuse != "" {
			places = append(places, r.excuse)
		}
		fmt.Fprintf(w, "%v, %s: %s\n\t%s\n", r.ruleID, keptBy(r, at), r.paraphrase, strings.Join(places, "; "))
	}
	fmt.Fprintln(w, summary(index, found))
}
