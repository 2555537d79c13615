// Command musts keeps account of every MUST and MUST NOT of the RFCs that define QUIC: RFC 9000, RFC 9001 and RFC 9002.
//
//	go run ./internal/musts check               # the citations in the sources against the index
//	go run ./internal/musts list                # every rule, with where it is cited or why it need not be
//	go run ./internal/musts verify -rfc FOLDER  # the index against a copy of the RFCs
//
// The files rfc9000.index, rfc9001.index and rfc9002.index beside this one name the rules. A rule is a sentence with at
// least one MUST or MUST NOT. It goes by its section and its place among the rules of that section, counted from 1. The
// index has a hash of the sentence and says in our own words what it asks for. The texts of the RFCs are not in the
// repository.
//
// A comment in any Go file cites the rule that the code beside it keeps, or that the test beside it would find broken:
//
//	// RFC 9000, Section 4.1 (MUST 2): what lies beyond the limit ends the connection.
//
// There may be several of a section, as in (MUST 2, 4), and several sections, as in RFC 9000, Section 4.1 (MUST 2) and
// Section 4.5 (MUST 1, 2). Most rules are cited in a test. A rule that is not cited is excused in the index, with the
// reason.
//
// check prints rules that are neither cited nor excused, those that are both, and citations of rules that are not in the
// index. It exits with status 1 if there are any. The same check runs as a test of this package.
//
// verify reads rfc9000.txt and so on, as https://www.rfc-editor.org/rfc/rfc9000.txt has it, or rfc9000.md, the source of
// it by the QUIC working group, and prints rules that the index lacks and entries whose sentence has another hash.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	findings, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "musts:", err)
		os.Exit(2)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
	if len(findings) > 0 {
		fmt.Fprintf(os.Stderr, "musts: %d finding(s)\n", len(findings))
		os.Exit(1)
	}
}

func run(args []string) ([]string, error) {
	usage := fmt.Errorf("usage: musts check [FOLDER] | list [FOLDER] | verify -rfc FOLDER")
	if len(args) == 0 {
		return nil, usage
	}
	index, err := readIndex()
	if err != nil {
		return nil, err
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	copies := flags.String("rfc", "", "the folder with the RFCs, as .txt or .md")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	root := "."
	if flags.NArg() > 0 {
		root = flags.Arg(0)
	}
	switch args[0] {
	case "check", "list":
		found, err := readCitations(root)
		if err != nil {
			return nil, err
		}
		if args[0] == "list" {
			list(os.Stdout, index, found)
			return nil, nil
		}
		fmt.Println(summary(index, found))
		return check(index, found), nil
	case "verify":
		if *copies == "" {
			return nil, usage
		}
		return verify(index, *copies)
	}
	return nil, usage
}
