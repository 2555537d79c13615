// Command bench measures Dunlin beside its peers on the same work: quic-go, net/http's HTTP/2, TLS over TCP, and a floor program
// that seals and sends packets without any protocol. Server and client are separate processes over loopback, runs are
// interleaved, and what it prints are medians with half of their range in percent (±%), and ratios within one run.
//
//	go run . -list      # the works, and the peers that do each
//	go run .            # everything, medians of five
//	go run . -quick     # a first impression, in two or three minutes
//	go run . -work get,small-1x100 -peers dunlin-h3,quic-go-h3
//
// Results can be kept and shown again; -docs writes the tables, targets and plots of docs/BENCHMARKS.md, for which -quick does
// with little of each work but leaves none out:
//
//	go run . -quick -runs 5 -json results.json -docs ../docs
//	go run . -report results.json -markdown
//
// Beside the libraries stands the floor of a work: what it costs here without any protocol. A run that fails is noted below
// its table.
//
// Latency is the clients': at 50, 99 and 99.9 percent of the requests or handshakes. CPU time is that of the whole process, per
// GiB, request, handshake or datagram, and so are allocations (mallocs).
//
// Some works are special. The datagram works look for the highest rate at which less than 0.1 % is lost. The work lossy makes a
// path of TUN devices between two network namespaces, for which it must be root; otherwise it is left out. It
// needs a machine that keeps time: where others want the processors as well, chrt -r 10 go run . -work lossy. The work idle makes
// connections and lets them rest; it measures the memory and the goroutines of both sides. The growth works measure the
// same thing alone and beside much that is open and idle, or with growing flow-control windows in the simulator.
//
// With BENCH_PROFILE=dir in the environment the processes write CPU profiles there, or for idle heap profiles.
//
// A figure from one machine says little; the ratio between two peers in one run says much. It runs on Linux.
package main
