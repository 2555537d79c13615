//go:build !race

package quic

// raceEnabled is true under the race detector, which empties pools at random.
const raceEnabled = false
