package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSources holds this repository to its index.
func TestSources(t *testing.T) {
	index, err := readIndex()
	if err != nil {
		t.Fatal(err)
	}
	found, err := readCitations(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range check(index, found) {
		t.Error(f)
	}
}

// A document of our own in the two forms that RFCs have. The sentences mean nothing.
const (
	asText = `
   1.  Overview
   2.  Rules

1.  Overview

   The word "MUST" is spoken of here.  So is "MUST NOT".  It SHOULD do.

2.  Rules
2.1.  First Rules

   A sender MUST NOT do this (see Section 1.1 of [OTHER]).  It may do
   that.  Item_one MUST have at most 2^62-1 bytes; see Sections 2.1 and
   2.2.

   *  The first item MUST be first:

      an end without a full stop

   *  The second MUST follow.  See "Overview".  [OTHER] describes
      what MUST happen.

Appendix A.  More

A.1.  Last

   | a cell that MUST be there | another |
`
	asMarkdown = `---
title: not the text, which MUST be ignored
--- abstract
Nor what MUST be here.
--- middle

# Overview

The word "MUST" is spoken of here. So is "MUST NOT". It SHOULD do.

# Rules
## First Rules {#first}

A sender MUST NOT do this (see {{Section 1.1 of OTHER}}). It may do that.
Item_one MUST have at most 2<sup>62</sup>-1 bytes; see Sections {{first}} and
{{second}}.

* The first item MUST be first:

~~~ code
# no section, and what MUST not count
~~~

* The second MUST follow. See "Overview". {{OTHER}} describes
  what MUST happen.

--- back

# More

## Last

| a cell that MUST be there | another |
`
)

func TestRules(t *testing.T) {
	want := []struct {
		section string
		ordinal int
		text    string
	}{
		{"2.1", 1, "A sender MUST NOT do this"},
		{"2.1", 2, "Item_one MUST have"},
		{"2.1", 3, "The first item MUST be first:"},
		{"2.1", 4, "The second MUST follow."},
		{"2.1", 5, "describes what MUST happen."},
		{"A.1", 1, "a cell that MUST be there | another |"},
	}
	text, markdown := rules(1, textBlocks(asText)), rules(1, markdownBlocks(asMarkdown))
	if len(text) != len(want) || len(markdown) != len(want) {
		t.Fatalf("%d rules in the text, %d in its source, want %d: %q %q", len(text), len(markdown), len(want), text, markdown)
	}
	for i, w := range want {
		for _, got := range []sentence{text[i], markdown[i]} {
			if got.ruleID != (ruleID{1, w.section, w.ordinal}) || !strings.Contains(got.text, w.text) {
				t.Errorf("rule %d: %v: %q", i, got.ruleID, got.text)
			}
		}
		if a, b := hashSentence(text[i].text), hashSentence(markdown[i].text); a != b || len(a) != hashLen {
			t.Errorf("%v: hash %s in the text, %s in its source", text[i].ruleID, a, b)
		}
	}
	if hashSentence("A sender MUST do this.") == hashSentence("A sender MUST NOT do this.") {
		t.Error("two rules with one hash")
	}
}

func TestVerify(t *testing.T) {
	folder := t.TempDir()
	for _, rfc := range []string{"rfc9000.txt", "rfc9001.md", "rfc9002.txt"} {
		text := "1.  One\n\n   This MUST be.  That MUST NOT be.\n"
		if strings.HasSuffix(rfc, ".md") {
			text = "--- middle\n# One\nThis MUST be. That\nMUST NOT be.\n"
		}
		if err := os.WriteFile(filepath.Join(folder, rfc), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var index []rule
	for _, rfc := range rfcs {
		for i, text := range []string{"This MUST be.", "That MUST NOT be."} {
			index = append(index, rule{ruleID{rfc, "1", i + 1}, hashSentence(text), "ours", ""})
		}
	}
	wantFindings(t, "a good index", verifyIn(t, index, folder))
	changed := append([]rule(nil), index...)
	changed[3].hash = hashSentence("That MUST be.")
	wantFindings(t, "another sentence", verifyIn(t, changed, folder), "RFC 9001, Section 1 (MUST 2) has hash")
	wantFindings(t, "a missing rule", verifyIn(t, index[1:], folder), "is not in the index: This MUST be.")
	more := append(index, rule{ruleID{9002, "1", 3}, "", "ours", ""})
	wantFindings(t, "a rule too many", verifyIn(t, more, folder), "RFC 9002, Section 1 (MUST 3) is not in the RFC")
	if _, err := verify(index, t.TempDir()); err == nil {
		t.Error("no error without the RFCs")
	}
}

func verifyIn(t *testing.T, index []rule, folder string) []string {
	t.Helper()
	findings, err := verify(index, folder)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

func wantFindings(t *testing.T, name string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: findings %q, want %d", name, got, len(want))
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: finding %q, want %q", name, got[i], want[i])
		}
	}
}

func TestParseIndex(t *testing.T) {
	rules, err := parseIndex(9000, []byte("# a comment\n\n4.1 1 0123456789ab keep to it\n4.1 2 123456789abc and to this\n\texcused: it is not ours\n"))
	want := []rule{
		{ruleID{9000, "4.1", 1}, "0123456789ab", "keep to it", ""},
		{ruleID{9000, "4.1", 2}, "123456789abc", "and to this", "it is not ours"},
	}
	if err != nil || !reflect.DeepEqual(rules, want) {
		t.Errorf("%+v, %v", rules, err)
	}
	for _, bad := range []string{
		"4.1 1 0123456789ab",
		"4.1 1 0123 too short a hash",
		"4.1 x 0123456789ab no number",
		"4.1 1 0123456789ab once\n4.1 1 0123456789ab twice",
		"\texcused: nothing",
		"4.1 1 0123456789ab one\n\texcused: ",
		"4.1 1 0123456789ab one\n\tnot an excuse",
		"4.1 1 0123456789ab one\n\texcused: once\n\texcused: twice",
	} {
		if _, err := parseIndex(9000, []byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestParseCitations(t *testing.T) {
	for _, tt := range []struct {
		comment string
		want    []ruleID
	}{
		{"RFC 9000, Section 4.1: limits.", nil},
		{"RFC 9000, Section 4.1 (MUST 2): limits.", []ruleID{{9000, "4.1", 2}}},
		{"RFC 9000, Section 4.1 (MUST 2, 13).", []ruleID{{9000, "4.1", 2}, {9000, "4.1", 13}}},
		{"RFC 9000, Section 4.1 (MUST 2) and Section 19.8 (MUST 1).", []ruleID{{9000, "4.1", 2}, {9000, "19.8", 1}}},
		{"RFC 9000, Section 3, and others: one. Section 4.1 (MUST 2): two.", []ruleID{{9000, "4.1", 2}}},
		{"RFC 9000,\nSection 4.1 (MUST\n2).", []ruleID{{9000, "4.1", 2}}},
		{"RFC 9000, Section 4 (MUST 1); RFC 9001, Section 5 (MUST 2).", []ruleID{{9000, "4", 1}, {9001, "5", 2}}},
	} {
		got, err := parseCitations(tt.comment)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %v, %v", tt.comment, got, err)
		}
	}
	for _, bad := range []string{"Section 4.1 (MUST 2)", "RFC 9000, Section 4.1 (MUSTS 2)", "RFC 9000, 4.1 (MUST 2)", "RFC 9000 (MUST 2)", "RFC 9000, Section 4.1 (MUST 2 and 3)"} {
		if got, err := parseCitations(bad); err == nil {
			t.Errorf("%q: no error, but %v", bad, got)
		}
	}
}

func TestCheck(t *testing.T) {
	index := []rule{
		{ruleID{9000, "1", 1}, "", "cited in a test", ""},
		{ruleID{9000, "1", 2}, "", "cited in code", ""},
		{ruleID{9000, "1", 3}, "", "excused", "reason"},
		{ruleID{9000, "1", 4}, "", "forgotten", ""},
		{ruleID{9000, "1", 5}, "", "excused and cited", "reason"},
	}
	root := t.TempDir()
	for name, content := range map[string]string{
		"a.go":             "package a\n\n// RFC 9000, Section 1 (MUST 1, 2).\nfunc f() {\n\t// RFC 9000, Section 1 (MUST 5).\n}\n",
		"sub/a_test.go":    "package a\n\n// RFC 9000, Section 1 (MUST 1) and Section 2 (MUST 1).\n",
		"testdata/a.go":    "not Go",
		"sub/vendor/a.go":  "not Go",
		"sub/.git/a.go":    "not Go",
		"sub/notes.md":     "RFC 9000, Section 1 (MUST 9)",
		"sub/strings.go":   "package a\n\nvar s = \"RFC 9000, Section 1 (MUST 9)\"\n",
		"other/go.mod":     "module other\n",
		"other/windows.go": "//go:build windows\n\npackage other\n",
	} {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := readCitations(root)
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, "check", check(index, found), "RFC 9000, Section 1 (MUST 4) is neither",
		"a.go:5: RFC 9000, Section 1 (MUST 5) is excused", "sub/a_test.go:3: RFC 9000, Section 2 (MUST 1) is not in the index")
	if got, want := summary(index, found), "5 rules: 1 cited in tests, 2 in code alone, 1 excused, 1 missing"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var b strings.Builder
	list(&b, index, found)
	for _, want := range []string{"(MUST 1), test: cited in a test\n\ta.go:3; sub/a_test.go:3", "(MUST 4), missing", "(MUST 3), excused: excused\n\treason"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the list lacks %q:\n%s", want, b.String())
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bad.go"), []byte("package a\n\n// Section 1 (MUST 1).\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readCitations(root); err == nil || !strings.Contains(err.Error(), "bad.go:3") {
		t.Errorf("a citation of no RFC: %v", err)
	}
}
