package main

import (
	"io"
	"net/http"
	"time"
)

// The growth works measure the same requests twice: alone, and beside much that is open and does nothing. What is open must
// cost nothing.

const (
	growthStreams = "growth-streams"
	growthActive  = 100 // connections or streams with requests in flight
)

// growthRest is how long what was made rests at most before it is measured.
const growthRest = time.Second

// The phases of a growth work.
const (
	phaseAlone = "alone"
	phaseGrown = "grown"
)

// measureGrowth measures one phase, when what was made for it has come to rest and requests have warmed up.
func (c *clientEnv) measureGrowth(phase string, target func(i int) (http.RoundTripper, string)) error {
	time.Sleep(min(c.rest, growthRest))
	if _, err := c.request(growthActive, seconds(c.size/5), target); err != nil {
		return err
	}
	c.start()
	n, err := c.request(growthActive, seconds(c.size), target)
	if err == nil {
		c.finish(phase, n)
	}
	return err
}

// growConnections makes requests on 100 connections, first without others and then beside idle ones.
func growConnections(c *clientEnv) (float64, error) {
	t := c.crowd()
	defer t.Close()
	measure := func(phase string) error {
		return c.measureGrowth(phase, func(i int) (http.RoundTripper, string) { return t, c.hostOf("active", i) })
	}
	for i := range growthActive {
		if err := get(t, c.hostOf("active", i), smallAnswer, make([]byte, 512)); err != nil {
			return 0, err
		}
	}
	if err := measure(phaseAlone); err != nil {
		return 0, err
	}
	if err := t.connect("idle", c.grow); err != nil {
		return 0, err
	}
	if err := measure(phaseGrown); err != nil {
		return 0, err
	}
	return 0, t.stayed("idle")
}

// growStreams makes 100 requests at a time on one connection, first alone and then beside streams that are open.
func growStreams(c *clientEnv) (float64, error) {
	t := httpPeers[c.peer].transport(c.tls)
	defer t.Close()
	measure := func(phase string) error {
		return c.measureGrowth(phase, func(int) (http.RoundTripper, string) { return t, c.addr })
	}
	if err := get(t, c.addr, smallAnswer, make([]byte, 512)); err != nil {
		return 0, err
	}
	if err := measure(phaseAlone); err != nil {
		return 0, err
	}
	bodies := make([]io.Closer, c.grow)
	defer func() {
		for _, b := range bodies {
			if b != nil {
				b.Close()
			}
		}
	}()
	_, err := parallel(handshakesAtOnce, func(i int) (int, error) {
		for ; i < len(bodies); i += handshakesAtOnce {
			req, err := http.NewRequest(http.MethodGet, "https://"+c.addr+"/wait", nil)
			if err != nil {
				return 0, err
			}
			resp, err := t.RoundTrip(req)
			if err != nil {
				return 0, err
			}
			bodies[i] = resp.Body
		}
		return 0, nil
	})
	if err != nil {
		return 0, err
	}
	return 0, measure(phaseGrown)
}
