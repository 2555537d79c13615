// Command qlogcheck validates traces against the CDDL of the qlog drafts, by the program cddl (cargo install cddl, version
// 0.10.7), which knows CDDL (RFC 8610). The drafts are the reader's own copy: nothing of them is in this repository.
//
//	qlogcheck -drafts DIR [-cddl PROGRAM] TRACE...
//
// DIR has the drafts draft-ietf-quic-qlog-{main-schema,quic-events,h3-events}.md. Each trace is checked in three steps: its
// header as a QlogFileSeq, its events as Events, and what each event tells as the type of that very event. The extension
// points of the drafts are closed, so that a member with a name that is none of the draft's is an error.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dunlin-quic/dunlin/qlog"
)

func main() {
	drafts := flag.String("drafts", "", "directory of the drafts, in Markdown")
	program := flag.String("cddl", "cddl", "the program that validates")
	flag.Parse()
	if *drafts == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	found, err := check(*drafts, *program, flag.Args())
	for _, f := range found {
		fmt.Println(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "qlogcheck:", err)
	}
	if err != nil || len(found) > 0 {
		os.Exit(1)
	}
}

// check validates traces and returns what is wrong with them.
func check(drafts, program string, traces []string) (found []string, err error) {
	s, err := readSchema(drafts)
	if err != nil {
		return nil, err
	}
	v := validator{schema: s, program: program}
	if v.dir, err = os.MkdirTemp("", "qlogcheck"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(v.dir)

	var headers, events []json.RawMessage
	data := map[string][]json.RawMessage{} // by name of event
	for _, name := range traces {
		err := readTrace(name, func(i int, record []byte) error {
			if i == 0 {
				headers = append(headers, record)
				return nil
			}
			var e struct {
				Name string          `json:"name"`
				Data json.RawMessage `json:"data"`
			}
			if err := json.Unmarshal(record, &e); err != nil {
				return err
			}
			events = append(events, record)
			data[e.Name] = append(data[e.Name], e.Data)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := v.validate("header", "QlogFileSeq", headers); err != nil {
		return v.found, err
	}
	if err := v.validate("event", "Event", events); err != nil {
		return v.found, err
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		rule := s.rule(name)
		if rule == "" {
			v.found = append(v.found, name+": no such event in the drafts")
			continue
		}
		if err := v.validate(name, rule, data[name]); err != nil {
			return v.found, err
		}
		fmt.Printf("%6d %s\n", len(data[name]), name)
	}
	return v.found, nil
}

// readTrace passes the records of a trace.
func readTrace(name string, f func(i int, record []byte) error) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	// The reader of the package has to be content, too.
	r, err := qlog.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if len(b) == 0 || b[0] != '\x1e' {
		return errors.New("no record separator at the start")
	}
	for i, record := range bytes.Split(b[1:], []byte{'\x1e'}) {
		if !bytes.HasSuffix(record, []byte{'\n'}) {
			return fmt.Errorf("record %d does not end a line", i)
		}
		if err := f(i, record); err != nil {
			return err
		}
	}
	return nil
}

// validator validates JSON values by a rule of the schema.
type validator struct {
	schema  schema
	program string
	dir     string
	found   []string
}

// batch is how many values are validated at once: of a batch with a fault, each is looked at alone.
const batch = 200

// validate validates values by rule.
func (v *validator) validate(what, rule string, values []json.RawMessage) error {
	cddl := filepath.Join(v.dir, "schema.cddl")
	if err := os.WriteFile(cddl, []byte("qlogcheck-root = [* "+rule+"]\n"+v.schema.text), 0o600); err != nil {
		return err
	}
	for part := range slices.Chunk(values, batch) {
		report, err := v.run(cddl, part)
		if err != nil || report == "" {
			if err != nil {
				return err
			}
			continue
		}
		for i := range part {
			one, err := v.run(cddl, part[i:i+1])
			if err != nil {
				return err
			}
			if one != "" {
				v.found = append(v.found, fmt.Sprintf("%s is no %s: %s%s", what, rule, part[i], one))
				return nil // the others have the same fault, most likely
			}
		}
		v.found = append(v.found, fmt.Sprintf("%s is no %s: %s", what, rule, report))
	}
	return nil
}

// run returns what the program says of the values, "" if they are valid.
func (v *validator) run(cddl string, values []json.RawMessage) (string, error) {
	b, err := json.Marshal(values)
	if err != nil {
		return "", err
	}
	doc := filepath.Join(v.dir, "values.json")
	if err := os.WriteFile(doc, b, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command(v.program, "--ci", "validate", "--cddl", cddl, "--json", doc).CombinedOutput()
	if err == nil {
		return "", nil
	}
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		return "", err
	}
	return strings.TrimSpace(string(out)) + "\n", nil
}
