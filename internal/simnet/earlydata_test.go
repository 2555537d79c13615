package simnet

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// TestEarlyData: a client comes back again and again over paths that lose, reorder and duplicate. Its requests leave with
// the first flight, and whatever becomes of that, all of every answer arrives.
func TestEarlyData(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := virtually(t, seed)
			ccfg, scfg := w.configs()
			ccfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			ccfg.EarlyData, scfg.EarlyData = true, true
			scfg.StatelessResetKey = &[32]byte{1}
			scfg, err := scfg.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			demux, err := quic.NewDemux(quic.DemuxConfig{StatelessResetKey: scfg.StatelessResetKey, Rand: w})
			if err != nil {
				t.Fatal(err)
			}
			server := w.NewServer(scfg, demux, func() App { return &Transfer{} })
			l := Link{Delay: 20 * ms, Jitter: 10 * ms, Rate: 20e6, Queue: 50, Reorder: 0.05, ReorderBy: 30 * ms, Duplicate: 0.02}
			states := map[quic.EarlyDataState]int{}
			for i := range 6 {
				if i > 0 {
					l.Loss = 0.02 * float64(i)
				}
				w.Link(l)
				transfer := download(30_000)
				client, err := w.NewClient(ccfg, server, transfer)
				if err != nil {
					t.Fatal(err)
				}
				offered := client.Conn.EarlyData().State == quic.EarlyDataOffered
				// A server that does not hear of the end waits for an hour.
				if err := w.Run(2 * time.Hour); err != nil {
					t.Fatal(err)
				}
				if !transfer.Done {
					t.Fatalf("connection %d: %v, %v", i, transfer, client.Err)
				}
				state := client.Conn.EarlyData().State
				if offered == (state == quic.EarlyDataNone) {
					t.Errorf("connection %d: offered %v, in the end %v", i, offered, state)
				}
				states[state]++
			}
			// The ticket that should have come last may have been lost with the end of the connection.
			if states[quic.EarlyDataAccepted] == 0 {
				t.Errorf("no early data accepted: %v", states)
			}
		})
	}
}
