package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	coder "github.com/coder/websocket"

	"github.com/dunlin-quic/dunlin/http3"
)

// echoTunnel sends back what comes by a tunnel of extended CONNECT.
func echoTunnel(w http.ResponseWriter, r *http.Request) {
	tunnel, err := http3.AcceptTunnel(w, r)
	if err != nil {
		return
	}
	echoAll(r.Context(), datagrams{tunnel, r.Context()})
	tunnel.CloseWrite()
}

// attempt watches something that is not in the ledger, and that is cancelled at any point now and then.
func (c *soakClient) attempt(kind string, rng *rand.Rand, do func(context.Context, *watch) error) {
	var cancel time.Duration
	if rng.IntN(4) == 0 {
		cancel = 1 + time.Duration(rng.Int64N(int64(300*time.Millisecond)))
	}
	ctx, w, end := c.watch(kind, cancel)
	err := do(ctx, w)
	end(&err)
	switch {
	case err == nil:
		c.ledger.count(kind + " whole")
		return
	case errors.Is(err, errOnPurpose):
		c.ledger.count(kind + " abandoned")
		return
	case errors.Is(err, errStuck) || c.mustSucceed:
		c.t.Errorf("%s: %v", kind, err)
	}
	c.ledger.count(kind + " failed")
	<-time.After(50 * time.Millisecond)
}

// webSocket has messages echoed to it.
func (c *soakClient) webSocket(rng *rand.Rand) {
	name := []string{"coder", "gorilla"}[rng.IntN(2)]
	c.attempt("WebSocket", rng, func(ctx context.Context, w *watch) error {
		conn, _, err := coder.Dial(ctx, c.base+name, &coder.DialOptions{
			HTTPClient: &http.Client{Transport: c.transport}, CompressionMode: coder.CompressionContextTakeover,
		})
		if err != nil {
			return err
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 21)
		for range rng.IntN(10) {
			message := make([]byte, rng.IntN(20_000))
			io.ReadFull(content(int64(len(message))), message)
			if err := conn.Write(ctx, coder.MessageBinary, message); err != nil {
				return err
			}
			_, got, err := conn.Read(ctx)
			if err != nil {
				return err
			}
			if !bytes.Equal(got, message) {
				c.t.Errorf("a message of %d bytes came back as another, of %d", len(message), len(got))
			}
			w.step("%d bytes came back", len(got))
		}
		conn.Close(coder.StatusNormalClosure, "") // has no patience with the other side
		return nil
	})
}

// tunnel has datagrams and bytes echoed to it.
func (c *soakClient) tunnel(rng *rand.Rand) {
	c.attempt("tunnel", rng, func(ctx context.Context, w *watch) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodConnect, c.base, nil)
		if err != nil {
			return err
		}
		req.Header[":protocol"] = []string{"echo"}
		res, err := c.transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		tunnel, ok := res.Body.(http3.Tunnel)
		if !ok {
			return fmt.Errorf("no tunnel: %s", res.Status)
		}
		for n := range rng.IntN(5) {
			if err := c.echoDatagram(ctx, tunnel, fmt.Appendf(nil, "datagram %d", n)); err != nil {
				return err
			}
			w.step("datagram %d came back", n)
		}
		size := soakSizes()[rng.IntN(len(soakSizes()))]
		written := make(chan error, 1)
		go func() {
			_, err := io.Copy(tunnel, content(size))
			written <- errors.Join(err, tunnel.CloseWrite())
		}()
		got := sumOf(countingReader{tunnel, func(n int) { w.count(&w.read, n) }})
		if err := <-written; err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if got != contentSum(size) {
			return fmt.Errorf("%d bytes came back as %d others, or fewer", size, w.read)
		}
		return nil
	})
}

// echoDatagram sends a datagram until it comes back, since each may be lost.
func (c *soakClient) echoDatagram(ctx context.Context, tunnel http3.Tunnel, want []byte) error {
	buf := make([]byte, 2000)
	for {
		if err := tunnel.SendDatagram(ctx, want); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		n, err := tunnel.ReceiveDatagram(wait, buf)
		cancel()
		switch {
		case err != nil && (ctx.Err() != nil || wait.Err() == nil):
			return err
		case err == nil && bytes.Equal(buf[:n], want):
			return nil
		}
	}
}
