package main

import (
	"bytes"
	"io"
	"os"
)

// heldInMemory is how much of a body that must wait for its turn is kept in memory, in bytes; the rest goes to a
// temporary file.
const heldInMemory = 256 << 10

// orderedWriter writes to an output that others write to before. What comes before its turn is held back, rather than
// left unread: all transfers of a server share one connection and its flow control, and those that wait would use up the
// credit that the one in turn needs.
type orderedWriter struct {
	out  io.Writer
	turn <-chan struct{} // closed when it may write

	memory bytes.Buffer
	file   *os.File // what did not fit into memory
}

func (w *orderedWriter) Write(p []byte) (int, error) {
	select {
	case <-w.turn:
		if err := w.flush(); err != nil {
			return 0, err
		}
		return w.out.Write(p)
	default:
	}
	if w.file == nil && w.memory.Len()+len(p) <= heldInMemory {
		return w.memory.Write(p)
	}
	if w.file == nil {
		var err error
		if w.file, err = os.CreateTemp("", "dunlin-get-"); err != nil {
			return 0, err
		}
	}
	return w.file.Write(p)
}

// Close waits for the turn and writes what was held back.
func (w *orderedWriter) Close() error {
	<-w.turn
	return w.flush()
}

// flush writes what was held back.
func (w *orderedWriter) flush() error {
	_, err := w.memory.WriteTo(w.out)
	if w.file == nil {
		return err
	}
	if err == nil {
		_, err = w.file.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = io.Copy(w.out, w.file)
	}
	w.file.Close()
	os.Remove(w.file.Name())
	w.file = nil
	return err
}
