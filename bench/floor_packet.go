package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"
)

// A packet of the floor: a byte of flags and the packet number, masked, and what AES-128-GCM has sealed.
const (
	floorHeader   = 9
	floorOverhead = floorHeader + 16
)

// floorKeys seal or open packets. They are for one goroutine.
type floorKeys struct {
	aead  cipher.AEAD
	mask  cipher.Block
	nonce [12]byte
	bits  [16]byte
}

// newFloorKeys returns the keys that all floors share: what they protect is no secret.
func newFloorKeys() *floorKeys {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &floorKeys{aead: aead, mask: block}
}

// seal appends the packet of that number to b.
func (k *floorKeys) seal(b []byte, kind byte, number uint64, payload []byte) []byte {
	at := len(b)
	b = slices.Grow(b, floorOverhead+len(payload))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, number)
	binary.BigEndian.PutUint64(k.nonce[4:], number)
	b = append(b, payload...)
	body := k.aead.Seal(b[at+floorHeader:at+floorHeader], k.nonce[:], b[at+floorHeader:], b[at:at+floorHeader])
	b = b[:at+floorHeader+len(body)]
	k.maskHeader(b[at:])
	return b
}

// open opens a packet in place: its header, and the payload that it returns.
func (k *floorKeys) open(packet []byte) ([]byte, error) {
	if len(packet) < floorOverhead {
		return nil, errors.New("floor: short packet")
	}
	k.maskHeader(packet)
	copy(k.nonce[4:], packet[1:floorHeader])
	return k.aead.Open(packet[floorHeader:floorHeader], k.nonce[:], packet[floorHeader:], packet[:floorHeader])
}

func (k *floorKeys) maskHeader(packet []byte) {
	k.mask.Encrypt(k.bits[:], packet[floorHeader:floorHeader+16])
	for i := range 8 {
		packet[1+i] ^= k.bits[i]
	}
}
