// Package simnet is a simulated network on virtual time, for tests: hosts that run the sans-IO core, and links that
// delay, limit, lose, reorder, duplicate, corrupt and refuse datagrams.
//
// A [World] holds the clock and everything that is going to happen. All chance comes from its seed, so that a run that
// failed repeats exactly from that number:
//
//	w := simnet.NewWorld(seed)
//	w.Link(simnet.Link{Delay: 15 * time.Millisecond, Rate: 10e6, Queue: 25, Loss: 0.02})
//	server := w.NewServer(serverConfig, newApp)
//	client, err := w.NewClient(clientConfig, server, app)
//	err = w.Run(time.Minute)
//
// TLS draws randomness of its own: a test that wants the same bytes again calls testing/cryptotest.SetGlobalRandom
// first and sets tls.Config.Time to [World.Now]. Nothing here is safe for concurrent use, and nothing sleeps.
package simnet
