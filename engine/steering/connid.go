//go:build linux

package steering

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/dunlin-quic/dunlin/quic"
)

// A connection ID is 8 random bytes, and then, encrypted by their hash, the number of the member that made it and a byte of
// 0, by which an ID that a client made up is told from one of ours in all but one of 65,536 cases per member. In that one, an
// attempt goes to the member that it seems to name, which is as good as any, or passes it on if it drains.
const (
	randomLen = 8
	idLen     = randomLen + 2
)

// ids makes and reads the connection IDs of a group.
type ids struct{ key sipKey }

// make returns an ID of member n.
func (x ids) make(n uint8) quic.ConnectionID {
	var b [idLen]byte
	rand.Read(b[:randomLen])
	binary.LittleEndian.PutUint16(b[randomLen:], uint16(n)^x.mask(b[:randomLen]))
	id, err := quic.NewConnectionID(b[:])
	if err != nil {
		panic(err) // idLen is too long
	}
	return id
}

// owner returns the member that made an ID; 0 if it is none of the group's.
func (x ids) owner(id []byte) uint8 {
	if len(id) != idLen {
		return 0
	}
	n := binary.LittleEndian.Uint16(id[randomLen:]) ^ x.mask(id[:randomLen])
	if n > maxNumber {
		return 0
	}
	return uint8(n)
}

func (x ids) mask(random []byte) uint16 {
	return uint16(x.key.hash(binary.LittleEndian.Uint64(random)))
}
