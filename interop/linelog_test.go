package interop

import (
	"regexp"
	"strings"
	"sync"
	"time"
)

// lineLog is the output of a program that still runs.
type lineLog struct {
	mu    sync.Mutex
	text  strings.Builder
	added chan struct{} // closed and replaced with every line
}

func newLineLog() *lineLog { return &lineLog{added: make(chan struct{})} }

func (l *lineLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
	close(l.added)
	l.added = make(chan struct{})
}

func (l *lineLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lineLog) waitFor(pattern *regexp.Regexp, limit time.Duration) (string, bool) {
	deadline := time.After(limit)
	for {
		l.mu.Lock()
		text, added := l.text.String(), l.added
		l.mu.Unlock()
		if m := pattern.FindStringSubmatch(text); m != nil {
			return m[1], true
		}
		select {
		case <-added:
		case <-deadline:
			return "", false
		}
	}
}
