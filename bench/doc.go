// Command bench measures Dunlin beside its peers on the same work: quic-go, net/http's HTTP/2, TLS over TCP, and a floor program
// that seals and sends packets without any protocol. Server and client are separate processes over loopback, runs are
// interleaved, and what it prints are medians and ratios within one run.
//
//	go run .            # everything, medians of five
//	go run . -quick     # a first impression in about two minutes
//	go run . -work get,small-1x100 -peers dunlin-h3,quic-go-h3
//
// The work idle makes connections and lets them rest; it measures the memory and the goroutines of both sides. With BENCH_PROFILE=dir
// in the environment the processes write CPU profiles there, or for idle heap profiles.
//
// A figure from one machine says little; the ratio between two peers in one run says much.
package main
