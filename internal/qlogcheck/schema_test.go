package main

import (
	"strings"
	"testing"
)

const draft = `Some words.

~~~ cddl
File = {
    name: text
}
~~~
{: #file title="A definition"}

~~~ cddl
FileOfEvents = {
    ~File
    ? time: float64
    data: $ProtocolEventData
    * $$fileofevents-extension
}
~~~

~~~
not = cddl
~~~

~~~~~~
$Open /= { * text => any }
~~~~~~

~~~ cddl
QUICMTUUpdated = {
    new: uint
}
~~~
`

// Of a draft, the rules are taken, closed, and written as the program understands them.
func TestSchema(t *testing.T) {
	s := schema{rules: map[string]string{}}
	s.add(draft)
	s.add("~~~ cddl\nFile = {\n    name: text\n}\n~~~\n") // as another draft has it, too
	want := "File = {\n    name: text\n}\n\nFileOfEvents = {\n    name: text\n\n    ? time: float64\n" +
		"    data: { * text => any }\n}\n\nQUICMTUUpdated = {\n    new: uint\n}\n\n"
	if got := s.text; strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for event, want := range map[string]string{"quic:mtu_updated": "QUICMTUUpdated", "quic:mtu": "", "file:": "File"} {
		if got := s.rule(event); got != want {
			t.Errorf("%s: rule %q, want %q", event, got, want)
		}
	}
}
