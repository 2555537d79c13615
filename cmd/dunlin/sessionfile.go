package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// sessionFile keeps TLS sessions and address-validation tokens for the next run. What it holds is secret.
type sessionFile struct {
	path string

	mu      sync.Mutex
	saved   savedSessions
	changed bool
	owed    map[string]bool // keys of sessions given out that have not been replaced
	came    chan struct{}   // told when owed becomes empty; capacity 1
}

// savedSessions is what the file holds, by server.
type savedSessions struct {
	Sessions map[string]savedSession
	Tokens   map[string][]byte
}

// savedSession is one session as crypto/tls exports it.
type savedSession struct{ Ticket, State []byte }

// openSessionFile reads a file, which need not exist yet.
func openSessionFile(path string) (*sessionFile, error) {
	f := &sessionFile{path: path, owed: make(map[string]bool), came: make(chan struct{}, 1)}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--session: %w", err)
	}
	if len(content) > 0 {
		if err := json.Unmarshal(content, &f.saved); err != nil {
			return nil, fmt.Errorf("--session: %s holds no sessions: %w", path, err)
		}
	}
	if f.saved.Sessions == nil {
		f.saved.Sessions = make(map[string]savedSession)
	}
	if f.saved.Tokens == nil {
		f.saved.Tokens = make(map[string][]byte)
	}
	return f, nil
}

// Get implements tls.ClientSessionCache.
func (f *sessionFile) Get(key string) (*tls.ClientSessionState, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	saved, ok := f.saved.Sessions[key]
	if !ok {
		return nil, false
	}
	state, err := tls.ParseSessionState(saved.State)
	if err != nil {
		return nil, false // of another version of crypto/tls
	}
	session, err := tls.NewResumptionState(saved.Ticket, state)
	if err != nil {
		return nil, false
	}
	f.owed[key] = true
	return session, true
}

// Put implements tls.ClientSessionCache.
func (f *sessionFile) Put(key string, session *tls.ClientSessionState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = true
	delete(f.saved.Sessions, key)
	if delete(f.owed, key); len(f.owed) == 0 {
		select {
		case f.came <- struct{}{}:
		default:
		}
	}
	if session == nil {
		return
	}
	ticket, state, err := session.ResumptionState()
	if err != nil || state == nil {
		return
	}
	if b, err := state.Bytes(); err == nil {
		f.saved.Sessions[key] = savedSession{ticket, b}
	}
}

// PutToken implements quic.TokenCache.
func (f *sessionFile) PutToken(server string, v quic.Version, token []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = true
	f.saved.Tokens[v.String()+" "+server] = token
}

// TakeToken implements quic.TokenCache.
func (f *sessionFile) TakeToken(server string, v quic.Version) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := v.String() + " " + server
	token := f.saved.Tokens[key]
	f.changed = f.changed || token != nil
	delete(f.saved.Tokens, key)
	return token
}

// sessionPatience is how long the answer to early data, which comes before the handshake is complete, may be ahead of the
// session for the next run.
const sessionPatience = time.Second

// awaitSessions waits for those that are to replace the used ones.
func (f *sessionFile) awaitSessions() {
	patience := time.NewTimer(sessionPatience)
	defer patience.Stop()
	for {
		f.mu.Lock()
		owed := len(f.owed)
		f.mu.Unlock()
		if owed == 0 {
			return
		}
		select {
		case <-f.came:
		case <-patience.C:
			return
		}
	}
}

// save writes the file, for its owner's eyes only, if anything has changed.
func (f *sessionFile) save() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.changed {
		return nil
	}
	content, err := json.Marshal(f.saved)
	if err != nil {
		return err
	}
	temporary := f.path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return fmt.Errorf("--session: %w", err)
	}
	if err := os.Rename(temporary, f.path); err != nil {
		return fmt.Errorf("--session: %w", err)
	}
	return nil
}
