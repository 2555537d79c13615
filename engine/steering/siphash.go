//go:build linux

package steering

import (
	"encoding/binary"
	"math/bits"
)

// sipKey is the key of SipHash-2-4, https://cr.yp.to/siphash/siphash-20120620.pdf. The hash stands here in Go, and in
// program.go in the kernel's instructions: it is made of nothing but additions, rotations and exclusive ors.
type sipKey [2]uint64

func newSipKey(b []byte) sipKey {
	return sipKey{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

const (
	sipBlockRounds = 2
	sipFinalRounds = 4
	sipLength      = 8 << 56 // the last word: a message of 8 bytes, and no byte beyond the first word
	sipFinish      = 0xff
)

// start returns the state before the first word.
func (k sipKey) start() [4]uint64 {
	return [4]uint64{k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d, k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573}
}

// hash returns the hash of 8 bytes.
func (k sipKey) hash(word uint64) uint64 {
	v := k.start()
	for _, m := range [2]uint64{word, sipLength} {
		v[3] ^= m
		for range sipBlockRounds {
			sipRound(&v)
		}
		v[0] ^= m
	}
	v[2] ^= sipFinish
	for range sipFinalRounds {
		sipRound(&v)
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipRound(v *[4]uint64) {
	for _, s := range sipSteps {
		v[s.sum] += v[s.addend]
		v[s.addend] = bits.RotateLeft64(v[s.addend], s.by) ^ v[s.sum]
		if s.half {
			v[s.sum] = bits.RotateLeft64(v[s.sum], 32)
		}
	}
}

// sipStep is a quarter of a round: the addend is added, rotated and combined with the sum, and the sum's halves may swap.
type sipStep struct {
	sum, addend, by int
	half            bool
}

var sipSteps = [4]sipStep{{0, 1, 13, true}, {2, 3, 16, false}, {0, 3, 21, false}, {2, 1, 17, true}}
