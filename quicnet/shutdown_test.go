package quicnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
)

// TestShutdown shuts a listener down that has a connection at work and one that nobody has accepted.
func TestShutdown(t *testing.T) {
	for name, patient := range map[string]bool{"until the connections end": true, "until the context ends": false} {
		t.Run(name, func(t *testing.T) {
			cfg := serverConfig(quic.Config{})
			cfg.CloseError = &quic.ApplicationError{Code: 7, Reason: "going home"}
			l := listen(t, cfg)
			ctx := testContext(t)
			dial := func() *quicnet.Conn {
				c, err := quicnet.Dial(ctx, l.Addr().String(), clientConfig(quic.Config{}))
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			client := dial()
			server, err := l.Accept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			unaccepted := dial()

			limit, cancel := context.WithCancel(ctx)
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- l.Shutdown(limit) }()
			closed := func(c *quicnet.Conn) {
				t.Helper()
				<-c.Done()
				var e *quic.ApplicationError
				if err := c.Err(); !errors.As(err, &e) || !e.Remote || e.Code != 7 || e.Reason != "going home" {
					t.Errorf("the connection ended with %v", err)
				}
			}
			<-unaccepted.Done() // closed if it was in the backlog already, else refused
			if _, err := l.Accept(ctx); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}

			// The other goes on.
			go func() {
				s, err := server.AcceptStream(ctx)
				if err == nil {
					io.Copy(s, s)
					s.Close()
				}
			}()
			s, err := client.OpenStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(s, "still here")
			s.CloseWrite()
			if got, err := io.ReadAll(s); string(got) != "still here" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if patient {
				client.Close()
				if err := <-result; err != nil {
					t.Error(err)
				}
			} else {
				cancel()
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Errorf("Shutdown: %v", err)
				}
				closed(client)
			}
			if st := l.Stats(); st.Accepted != 2 || st.Connections != 0 {
				t.Errorf("%d accepted, %d there", st.Accepted, st.Connections)
			}
		})
	}
}
