package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// sentence is a rule as an RFC has it.
type sentence struct {
	ruleID
	text string
}

// verify compares the index with the RFCs in a folder, and returns what differs.
func verify(index []rule, folder string) ([]string, error) {
	entries := make(map[ruleID]rule)
	for _, r := range index {
		entries[r.ruleID] = r
	}
	var findings []string
	for _, rfc := range rfcs {
		sentences, err := readRFC(folder, rfc)
		if err != nil {
			return nil, err
		}
		for _, s := range sentences {
			r, ok := entries[s.ruleID]
			delete(entries, s.ruleID)
			switch hash := hashSentence(s.text); {
			case !ok:
				findings = append(findings, fmt.Sprintf("%v, with hash %s, is not in the index: %s", s.ruleID, hash, s.text))
			case r.hash != hash:
				findings = append(findings, fmt.Sprintf("%v has hash %s, not %s: %s", s.ruleID, hash, r.hash, s.text))
			}
		}
		fmt.Printf("RFC %d: %d rules\n", rfc, len(sentences))
	}
	for _, r := range index {
		if _, left := entries[r.ruleID]; left {
			findings = append(findings, fmt.Sprintf("%v is not in the RFC: %s", r.ruleID, r.paraphrase))
		}
	}
	return findings, nil
}

// readRFC returns the rules of an RFC from its text, or from its source in Markdown if there is no text.
func readRFC(folder string, rfc int) ([]sentence, error) {
	name := filepath.Join(folder, fmt.Sprintf("rfc%d", rfc))
	b, err := os.ReadFile(name + ".txt")
	if err == nil {
		return rules(rfc, textBlocks(string(b))), nil
	}
	b, err = os.ReadFile(name + ".md")
	if err != nil {
		return nil, fmt.Errorf("neither %[1]s.txt nor %[1]s.md can be read: %[2]w", name, err)
	}
	return rules(rfc, markdownBlocks(string(b))), nil
}

// block is a paragraph, an item of a list or a line of a table.
type block struct{ section, text string }

var (
	textHeading = regexp.MustCompile(`^(?:Appendix )?([0-9A-Z](?:\.?[0-9]+)*)\.  ?\S`)
	textItem    = regexp.MustCompile(`^ +(?:\* |[0-9]+\.  |[|+]) *`)
)

// textBlocks takes an RFC in its published form apart.
func textBlocks(text string) []block {
	var blocks []block
	section := ""
	open := false // the last block goes on
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		m := textHeading.FindStringSubmatch(line)
		switch {
		case m != nil:
			section, open = m[1], false
		case strings.TrimSpace(line) == "":
			open = false
		case section == "":
		case open && !textItem.MatchString(line):
			last := &blocks[len(blocks)-1]
			last.text += " " + strings.TrimSpace(line)
		default:
			blocks = append(blocks, block{section, strings.TrimSpace(textItem.ReplaceAllString(line, ""))})
			open = true
		}
	}
	return blocks
}

var (
	markdownHeading = regexp.MustCompile(`^(#+) `)
	markdownItem    = regexp.MustCompile(`^ *(?:[*:|-]|[0-9]+\.) +`)
)

// markdownBlocks takes the source of an RFC apart. Sections have no numbers there but count.
func markdownBlocks(text string) []block {
	var blocks []block
	var numbers []int
	section := ""
	open, fenced, body, appendix := false, false, false, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		m := markdownHeading.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "--- "):
			body = line == "--- middle" || line == "--- back"
			appendix = line == "--- back"
			numbers, section = nil, ""
		case !body:
		case strings.HasPrefix(line, "~~~"):
			fenced, open = !fenced, false
		case fenced:
		case m != nil:
			depth := len(m[1])
			for len(numbers) < depth {
				numbers = append(numbers, 0)
			}
			numbers = numbers[:depth]
			numbers[depth-1]++
			section, open = sectionNumber(numbers, appendix), false
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "{:"):
			open = false
		case section == "":
		case open && !markdownItem.MatchString(line):
			last := &blocks[len(blocks)-1]
			last.text += " " + strings.TrimSpace(line)
		default:
			blocks = append(blocks, block{section, strings.TrimSpace(markdownItem.ReplaceAllString(line, ""))})
			open = true
		}
	}
	return blocks
}

func sectionNumber(numbers []int, appendix bool) string {
	var parts []string
	for i, n := range numbers {
		if i == 0 && appendix {
			parts = append(parts, string(rune('A'+n-1)))
		} else {
			parts = append(parts, strconv.Itoa(n))
		}
	}
	return strings.Join(parts, ".")
}

var (
	// must does not match where the words themselves are spoken of, in quotation marks.
	must = regexp.MustCompile(`(?:^|[^"A-Z])MUST\b(?:[^"]|$)`)
	// sentenceEnd is followed by the beginning of the next sentence, which may be a reference or the name of a variable.
	sentenceEnd = regexp.MustCompile(`[.:!?][")]?\s+(?:["(]?[A-Z0-9]|\{\{|\[|[a-z]+_)`)
)

// rules returns the sentences with a MUST, numbered by section.
func rules(rfc int, blocks []block) []sentence {
	var found []sentence
	ordinals := make(map[string]int)
	for _, b := range blocks {
		for _, text := range splitSentences(b.text) {
			if must.MatchString(text) {
				ordinals[b.section]++
				found = append(found, sentence{ruleID{rfc, b.section, ordinals[b.section]}, text})
			}
		}
	}
	return found
}

func splitSentences(text string) []string {
	var sentences []string
	for {
		at := sentenceEnd.FindStringIndex(text)
		if at == nil {
			return append(sentences, text)
		}
		sentences = append(sentences, strings.TrimSpace(text[:at[0]+1]))
		text = strings.TrimSpace(text[at[0]+1:])
	}
}

var (
	// reference is a cross-reference in either form. What it is called differs between them.
	reference = regexp.MustCompile(`(?:Sections?|Appendix|Appendices|Table|Figure) ` + place + `(?: and ` + place + `)?` +
		`(?: of ` + document + `)?|` + document)
	markup  = regexp.MustCompile(`</?[a-z]+>`)
	notWord = regexp.MustCompile(`[^a-z0-9]+`)
)

const (
	place    = `(?:\{\{[^}]*\}\}|[0-9A-Z](?:\.?[0-9]+)*)`
	document = `(?:\{\{[^}]*\}\}|\[[A-Z][A-Za-z0-9-]*\])`
)

// hashLen is the length of a hash in hexadecimal digits.
const hashLen = 12

// hashSentence returns a hash of the letters and digits of a sentence. Layout, punctuation and cross-references do not
// count, so that it is the same for an RFC and its source.
func hashSentence(text string) string {
	text = markup.ReplaceAllString(reference.ReplaceAllString(text, " "), "")
	sum := sha256.Sum256([]byte(notWord.ReplaceAllString(strings.ToLower(text), "")))
	return hex.EncodeToString(sum[:])[:hashLen]
}
