// Package marked writes the parts of documents that programs write, between two markers; the rest is people's.
package marked

import (
	"bytes"
	"fmt"
	"os"
)

// Replace puts text between the markers in a file, with an empty line on either side.
func Replace(file, begin, end string, text []byte) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s: the markers %s and %s are missing", file, begin, end)
	}
	var b bytes.Buffer
	b.Write(before)
	fmt.Fprintf(&b, "%s\n\n%s\n\n%s", begin, bytes.TrimSpace(text), end)
	b.Write(after)
	return os.WriteFile(file, b.Bytes(), 0o666)
}
