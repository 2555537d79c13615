package main

import (
	"io"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// server is the application of one connection. Its methods run in the connection's step, so it needs no locks, and never
// waits: what can't be written now is left unread, and QUIC's flow control makes the client wait.
type server struct{ engine.Base }

func (*server) ProcessReads(s *engine.Session) error {
	for {
		switch event := s.Conn().NextEvent(); event.Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamReadable, quic.EventStreamWritable:
			sendBack(event.Stream)
		}
	}
}

// sendBack copies what has come on the stream to its other half, as far as there is room.
func sendBack(stream *quic.Stream) {
	for {
		data, err := stream.Peek()
		if err == io.EOF {
			stream.TryWrite(nil, true)
			return
		}
		if err != nil {
			return // nothing there, or a reset
		}
		n, _ := stream.TryWrite(data, false)
		stream.Discard(n)
		if n < len(data) {
			return // EventStreamWritable will tell when to go on
		}
	}
}
