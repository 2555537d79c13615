// Package simnet is a simulated network on virtual time, for tests: hosts that run the sans-IO core, and links that
// delay, limit, lose, reorder, duplicate, corrupt and refuse datagrams.
//
// A [World] holds the clock and everything that is going to happen. All chance comes from its seed, so that a run that
// failed repeats exactly from that number:
//
//	w := simnet.NewWorld(seed)
//	w.Link(simnet.Link{Delay: 15 * time.Millisecond, Rate: 10e6, Queue: 25, Loss: 0.02})
//	clientTLS, serverTLS := w.TLS()
//	demux, err := quic.NewDemux(quic.DemuxConfig{Rand: w})
//	server := w.NewServer(&quic.Config{TLS: serverTLS, Rand: w}, demux, func() simnet.App { return &simnet.Transfer{} })
//	client, err := w.NewClient(&quic.Config{TLS: clientTLS, Rand: w}, server, &simnet.Transfer{
//		Open:          []simnet.TransferStream{{Size: 1000, Reply: 50000}},
//		CloseWhenDone: true,
//	})
//	err = w.Run(time.Minute)
//
// Peers check on the way what must always hold: nothing follows the last event, a server sends no more than it may to
// an address that is not validated, no connection ID is issued twice. [Transfer] checks every byte.
//
// TLS draws randomness of its own: a test that wants the same bytes again calls testing/cryptotest.SetGlobalRandom
// first. Nothing here is safe for concurrent use, and nothing sleeps.
package simnet
