package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// schema is the CDDL of the drafts.
type schema struct {
	text  string
	rules map[string]string // names of the rules, by their lower case
}

var draftNames = []string{
	"draft-ietf-quic-qlog-main-schema.md", "draft-ietf-quic-qlog-quic-events.md", "draft-ietf-quic-qlog-h3-events.md",
}

// extensionFrames are the frames of which traces here tell that the drafts have no name for: those of
// draft-ietf-quic-ack-frequency.
const extensionFrames = `~~~ cddl
$QuicFrame /= AckFrequencyFrame / ImmediateAckFrame

AckFrequencyFrame = {
    frame_type: "ack_frequency"
    sequence_number: uint64
    ack_eliciting_threshold: uint64
    requested_max_ack_delay: float32
    reordering_threshold: uint64
}

ImmediateAckFrame = {
    frame_type: "immediate_ack"
}
~~~
`

func readSchema(dir string) (schema, error) {
	s := schema{rules: map[string]string{}}
	for _, name := range draftNames {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return s, err
		}
		s.add(string(b))
	}
	s.add(extensionFrames)
	return s, nil
}

var (
	block     = regexp.MustCompile(`(?ms)^~~~ *cddl$\n(.*?)^~~~$`)
	extension = regexp.MustCompile(`(?m)^\s*\* \$\$[a-z0-9-]+\s*$`)
	ruleName  = regexp.MustCompile(`(?m)^([A-Za-z][A-Za-z0-9]*) *=`)
)

// add takes the CDDL out of a draft. Definitions that one draft repeats of another are taken once; extension points are
// closed.
func (s *schema) add(draft string) {
	for _, m := range block.FindAllStringSubmatch(draft, -1) {
		body := s.adapt(extension.ReplaceAllString(m[1], ""))
		names := ruleName.FindAllStringSubmatch(body, -1)
		repeated := len(names) > 0
		for _, n := range names {
			repeated = repeated && s.rules[strings.ToLower(n[1])] != ""
		}
		if repeated {
			continue
		}
		for _, n := range names {
			s.rules[strings.ToLower(n[1])] = n[1]
		}
		s.text += body + "\n"
	}
}

var (
	unwrap  = regexp.MustCompile(`(?m)^(\s*)~([A-Za-z]+)$`)
	timeKey = regexp.MustCompile(`(?m)^(\s*)time:`)
	members = regexp.MustCompile(`(?ms)^([A-Za-z]+) = \{\n(.*?)^\}`)
)

// adapt writes what version 0.10 of the program misunderstands in other words: it takes a member called time for CDDL's type of
// that name, and overlooks the unwrapping of a map in another. What an event tells is left open, where all events are alike: it is
// checked for each kind of event, which is more exact than to try all of them, and faster.
func (s *schema) adapt(body string) string {
	body = timeKey.ReplaceAllString(body, `$1"time":`)
	body = strings.Replace(body, "data: $ProtocolEventData", "data: { * text => any }", 1)
	return unwrap.ReplaceAllStringFunc(body, func(line string) string {
		for _, m := range members.FindAllStringSubmatch(s.text, -1) {
			if m[1] == strings.TrimSpace(line)[1:] {
				return m[2]
			}
		}
		return line
	})
}

// rule returns the name of the rule for an event, "" if there is none: "quic:mtu_updated" is a QUICMTUUpdated.
func (s *schema) rule(event string) string {
	return s.rules[strings.ToLower(strings.NewReplacer(":", "", "_", "").Replace(event))]
}
