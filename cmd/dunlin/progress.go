package main

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressDelay is how long transfers run before a bar appears: short ones leave no trace.
const progressDelay = time.Second

// progress is one bar on standard error for all transfers of a command. A nil progress shows nothing.
type progress struct {
	out      io.Writer
	done     atomic.Int64 // bytes sent and received
	expected atomic.Int64 // bytes announced by Content-Length

	end     chan struct{}
	ended   sync.WaitGroup
	stopped sync.Once
}

// newProgress returns the bar of get, nil unless standard error is a terminal that shows nothing else.
func newProgress(std streams, opts *getOptions, terminal bool) *progress {
	if !terminal || opts.silent || opts.verbose {
		return nil
	}
	if isTerminal(std.out) && !opts.remoteName && len(opts.outputs) == 0 {
		return nil // bodies go there
	}
	return startProgress(std.err, progressDelay)
}

// startProgress shows a bar on out after a delay, until stop.
func startProgress(out io.Writer, delay time.Duration) *progress {
	p := &progress{out: out, end: make(chan struct{})}
	p.ended.Go(func() { p.show(delay) })
	return p
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// add counts bytes.
func (p *progress) add(n int) {
	if p != nil {
		p.done.Add(int64(n))
	}
}

// expect adds to what is to come.
func (p *progress) expect(n int64) {
	if p != nil {
		p.expected.Add(n)
	}
}

// stop removes the bar.
func (p *progress) stop() {
	if p != nil {
		p.stopped.Do(func() { close(p.end) })
		p.ended.Wait()
	}
}

// show draws from the start, because the bar reckons its rate from its first drawing, but into the void until delay is
// over.
func (p *progress) show(delay time.Duration) {
	screen := &curtain{w: p.out}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(screen),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionUseIECUnits(false),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetSpinnerChangeInterval(0), // it would start a goroutine; the ticker below redraws
	)
	start := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		p.draw(bar)
		select {
		case <-p.end:
			_ = bar.Clear() // a terminal that can't be written to is no reason to fail
			return
		case <-tick.C:
			screen.open = time.Since(start) >= delay
		}
	}
}

// curtain is a writer that shows nothing until it is open.
type curtain struct {
	w    io.Writer
	open bool
}

func (c *curtain) Write(p []byte) (int, error) {
	if !c.open {
		return len(p), nil
	}
	return c.w.Write(p)
}

// draw shows what is done of what is announced. Bodies of unannounced size make the total a lower bound.
func (p *progress) draw(bar *progressbar.ProgressBar) {
	done, expected := p.done.Load(), p.expected.Load()
	switch {
	case expected > 0 && done <= expected:
		if bar.GetMax64() != expected {
			bar.ChangeMax64(expected)
		}
	case bar.GetMax64() != -1:
		bar.ChangeMax64(-1)
	}
	_ = bar.Set64(done)
}

// lockedWriter lets goroutines share a writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
