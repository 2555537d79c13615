package udp

import "time"

// ThreadReader is an optional interface of a [Socket], which those of Linux have.
//
// A goroutine that waits in Go's poller costs a processor little while it waits, but when its datagram comes, two threads have
// to be woken and the scheduler finds its way back to the goroutine: several times what the datagram costs by itself. A
// thread that waits in a system call goes on at once. It is a thread, though, and for some time keeps one of the
// processors that goroutines run on (GOMAXPROCS) from the others: it pays only where nobody else has anything to do.
type ThreadReader interface {
	// ReadBatchInThread is [Socket.ReadBatch], and has its one caller, but waits in a system call, and for no longer than
	// patience: it returns 0 if nothing came, or at once if the process is out of descriptors. Going from one of the two to the
	// other costs as much as some dozen reads.
	ReadBatchInThread(msgs []Message, patience time.Duration) (int, error)
}
