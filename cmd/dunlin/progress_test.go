package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var short bytes.Buffer
		p := startProgress(&short, time.Second)
		p.expect(1000)
		p.add(1000)
		time.Sleep(900 * time.Millisecond)
		p.stop()
		if short.Len() != 0 {
			t.Errorf("a short transfer leaves %q", short.String())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var long bytes.Buffer
		p := startProgress(&long, time.Second)
		p.expect(2_000_000)
		p.add(1_000_000)
		time.Sleep(1500 * time.Millisecond)
		p.stop()
		p.stop()
		if got := long.String(); !strings.Contains(got, "50%") || !strings.Contains(got, "MB") {
			t.Errorf("half of a transfer shows as %q", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var unknown bytes.Buffer
		p := startProgress(&unknown, time.Second)
		p.add(3_000_000)
		time.Sleep(1500 * time.Millisecond)
		p.stop()
		if got := unknown.String(); !strings.Contains(got, "3.0 MB") || strings.Contains(got, "%") {
			t.Errorf("a transfer of unknown size shows as %q", got)
		}
	})
	var none *progress
	none.add(1)
	none.expect(1)
	none.stop()
}

func TestNewProgressOnlyOnTerminals(t *testing.T) {
	var out bytes.Buffer
	std := streams{out: &out, err: &out}
	if newProgress(std, &getOptions{}, false) != nil {
		t.Error("a bar without a terminal")
	}
	if newProgress(std, &getOptions{silent: true}, true) != nil {
		t.Error("a bar despite --silent")
	}
	p := newProgress(std, &getOptions{}, true)
	if p == nil {
		t.Fatal("no bar on a terminal")
	}
	p.stop()
}
