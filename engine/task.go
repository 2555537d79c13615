package engine

import (
	"sync/atomic"
	"time"
)

// Task is what an application leaves to be run where it may block: see [Session.Go].
type Task interface {
	// Run runs it.
	Run()
	// Flush is called after Run unless a step follows by itself, to have one send what Run has left: see [Session.Flush].
	Flush()
}

const (
	// quickTask is how long tasks may take on average for a router to run them. Waking another goroutine up for one costs
	// about as much.
	quickTask = 20 * time.Microsecond
	// taskShare is the weight of one task in the average, longestTask the most that it counts. A task that blocks sends about the next
	// hundred to other goroutines.
	taskShare   = 64
	longestTask = 10 * time.Millisecond
	// tasksTime is how long a router runs tasks of one connection before it leaves the others of them to other goroutines.
	tasksTime = 200 * time.Microsecond
)

// pace is how long the tasks of an endpoint take, on average. Its measurements may overwrite each other.
type pace struct{ mean atomic.Int64 }

// init lets a router run tasks only when they have proved quick for a while.
func (p *pace) init() { p.mean.Store(4 * int64(quickTask)) }

func (p *pace) add(d time.Duration) {
	mean := p.mean.Load()
	p.mean.Store(mean + (int64(min(d, longestTask))-mean)/taskShare)
}

func (p *pace) quick() bool { return p.mean.Load() < int64(quickTask) }

// run runs t and returns the time, if it began at the given one.
func (p *pace) run(t Task, began time.Time) time.Time {
	t.Run()
	now := time.Now()
	p.add(now.Sub(began))
	return now
}

// leave leaves t to this party if it is a router, or else to another goroutine.
func (w *worker) leave(t Task) {
	if p := w.party; p.router != nil && w.e.pace.quick() {
		p.tasks = append(p.tasks, t)
	} else {
		w.e.runners.start(t)
	}
}

// runTasks runs the tasks that a step of w has left to the router. w stays the router's, so that what the tasks leave to be sent
// goes out together, in the step that follows. It returns false if a task took so long that another goroutine has
// taken over: router, worker and the other tasks.
func (p *party) runTasks(w *worker) bool {
	r := p.router
	p.worker, p.next = w, 0
	r.tasking.Store(p)
	w.taskedBy.Store(p)
	w.gathering.Store(true)
	running := false
	defer func() {
		if running {
			r.takeOver(p.turn) // the task called runtime.Goexit
		}
	}()
	began := time.Now()
	for now := began; p.next < len(p.tasks); {
		// Between two tasks the worker is nobody else's: should another goroutine have become the router, it has left that alone.
		t := p.take()
		if now.Sub(began) >= tasksTime || !r.turn.move(&p.turn, tasking) {
			w.e.runners.start(t)
			continue
		}
		running = true
		now = w.e.pace.run(t, now)
		running = false
		if !r.turn.move(&p.turn, stepping) {
			t.Flush() // the step that followed was too early for it
			return false
		}
	}
	p.resume(w)
	return true
}

// take removes the next task.
func (p *party) take() Task {
	t := p.tasks[p.next]
	p.tasks[p.next] = nil
	p.next++
	return t
}

// resume prepares for w's next step after its tasks.
func (p *party) resume(w *worker) {
	p.tasks = p.tasks[:0]
	w.expecting = false // by now they have written
	w.taskedBy.Store(nil)
	w.gathering.Store(false)
}

// succeed continues what p did as a router when it was stuck in a task: it leaves the other tasks to other goroutines, and
// goes on with the worker.
func (p *party) succeed(stuck *party) {
	for i := stuck.next; i < len(stuck.tasks); i++ {
		p.router.e.runners.start(stuck.tasks[i])
		stuck.tasks[i] = nil
	}
	p.resume(stuck.worker)
}

// yield lets another goroutine take over from the one that runs w's tasks, because it is about to block.
func (w *worker) yield() {
	p := w.taskedBy.Load()
	if p == nil {
		return
	}
	n := p.router.turn.count.Load()
	if doing(n) == tasking && w.taskedBy.Load() == p {
		p.router.takeOver(n)
	}
}
