package main

import (
	"context"
	"crypto/tls"
	"io"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// client is the application of the client's connection, with a blocking call on top. What its methods and the functions
// passed to Do use belongs to the connection's step; echo waits for the step on a channel.
type client struct {
	engine.Base
	connection *engine.Connection
	requests   map[*quic.Stream]*request
}

// request is one stream.
type request struct {
	unsent, answer []byte
	done           chan error
}

func dial(ctx context.Context, address string, config *tls.Config) (*client, error) {
	c := &client{requests: make(map[*quic.Stream]*request)}
	var err error
	c.connection, err = engine.Dial(ctx, address, &engine.DialConfig{
		QUIC:           &quic.Config{TLS: config},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return c, nil },
	})
	return c, err
}

// echo sends text on a stream of its own and returns what comes back.
func (c *client) echo(text string) (string, error) {
	r := &request{unsent: []byte(text), done: make(chan error, 1)}
	err := c.connection.Do(func(s *engine.Session) {
		stream, err := s.Conn().OpenStream(quic.Bidi)
		if err != nil {
			r.done <- err
			return
		}
		c.requests[stream] = r
		r.send(stream)
	})
	if err != nil {
		return "", err
	}
	err = <-r.done
	return string(r.answer), err
}

func (c *client) close() { c.connection.Close() }

func (c *client) ProcessReads(s *engine.Session) error {
	for {
		event := s.Conn().NextEvent()
		if event.Kind == quic.EventNone {
			return nil
		}
		r := c.requests[event.Stream]
		if r == nil {
			continue
		}
		switch event.Kind {
		case quic.EventStreamWritable:
			r.send(event.Stream)
		case quic.EventStreamReadable:
			if err := r.receive(event.Stream); err != quic.ErrWouldBlock {
				delete(c.requests, event.Stream)
				r.done <- err
			}
		}
	}
}

func (c *client) OnClose(_ *engine.Session, err error) {
	for _, r := range c.requests {
		r.done <- err
	}
	c.requests = nil
}

func (r *request) send(stream *quic.Stream) {
	n, _ := stream.TryWrite(r.unsent, true)
	r.unsent = r.unsent[n:]
}

// receive returns nil once the whole answer is there, quic.ErrWouldBlock before.
func (r *request) receive(stream *quic.Stream) error {
	for {
		data, err := stream.Peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r.answer = append(r.answer, data...)
		stream.Discard(len(data))
	}
}
