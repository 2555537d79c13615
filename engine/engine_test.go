package engine

import (
	"bytes"
	"crypto/rand"
	"testing"
)

func TestEcho(t *testing.T) {
	l := testListen(t, ListenConfig{})
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	a, c := testDial(t, e, l)
	for _, size := range []int{0, 1, 1000, 100_000, 10_000_000} {
		data := make([]byte, size)
		rand.Read(data)
		got, err := a.call(c, data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
}
