package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// headerKey is a key of header protection (RFC 9001, Section 5.4).
type headerKey struct {
	block  cipher.Block // AES in electronic codebook mode; nil for ChaCha20
	chacha [chacha20.KeySize]byte
	mask   [sampleLen]byte
}

// init makes of a raw key, which may be shorter, what the cipher works with.
func (h *headerKey) init(s Suite, raw [maxKeyLen]byte) (err error) {
	if s == ChaCha20Poly1305 {
		h.chacha = raw
		return nil
	}
	h.block, err = aes.NewCipher(raw[:s.keyLen()])
	return err
}

// compute sets the mask that belongs to a sample.
func (h *headerKey) compute(sample []byte) {
	if h.block != nil {
		h.block.Encrypt(h.mask[:], sample[:sampleLen])
		return
	}
	clear(h.mask[:5])
	c, err := chacha20.NewUnauthenticatedCipher(h.chacha[:], sample[4:sampleLen])
	if err != nil {
		panic(err) // only for wrong lengths of key and nonce
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	c.XORKeyStream(h.mask[:5], h.mask[:5])
}

// firstMask returns which bits of a first byte are protected.
func firstMask(first byte) byte {
	if wire.IsLong(first) {
		return 0x0f
	}
	return 0x1f
}

// protect masks the first byte and the packet number of a sealed packet.
func (h *headerKey) protect(pkt []byte, pnOffset, pnLen int) {
	h.compute(pkt[pnOffset+sampleOffset:])
	pkt[0] ^= h.mask[0] & firstMask(pkt[0])
	for i, p := 0, pkt[pnOffset:pnOffset+pnLen]; i < len(p); i++ {
		p[i] ^= h.mask[1+i]
	}
}

// unprotect unmasks the first byte and the packet number, and returns the number as it stands there and its length. It
// is false for a packet too short to have a sample.
func (h *headerKey) unprotect(pkt []byte, pnOffset int) (truncated uint64, pnLen int, ok bool) {
	if len(pkt) < pnOffset+sampleOffset+sampleLen {
		return 0, 0, false
	}
	h.compute(pkt[pnOffset+sampleOffset:])
	pkt[0] ^= h.mask[0] & firstMask(pkt[0])
	pnLen = int(pkt[0]&3) + 1
	for i, p := 0, pkt[pnOffset:pnOffset+pnLen]; i < len(p); i++ {
		p[i] ^= h.mask[1+i]
		truncated = truncated<<8 | uint64(p[i])
	}
	return truncated, pnLen, true
}
