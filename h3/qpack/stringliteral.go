package qpack

import "golang.org/x/net/http2/hpack"

// literal is a string literal as it stands on the wire.
type literal struct {
	data    []byte // aliases the input
	huffman bool
}

// minLen is the least length in bytes that the decoded string can have: no Huffman code is longer than 30 bits, and up
// to seven bits are padding (RFC 7541, Section 5.2 and Appendix B).
func minLen(encoded uint64, huffman bool) uint64 {
	if !huffman {
		return encoded
	}
	if encoded == 0 {
		return 0
	}
	return (encoded*8 - 7) / 30
}

// parseString reads an N-bit prefix string literal (RFC 9204, Section 4.1.2): a Huffman flag and a length of prefix
// bits, prefix being N-1. A string that cannot be decoded to maxLen bytes or fewer is malformed as soon as its length
// is known. It returns how many bytes it took, incomplete or malformed.
func parseString(b []byte, prefix uint, maxLen uint64) (s literal, n int) {
	size, n := parseInt(b, prefix)
	if n <= 0 {
		return s, n
	}
	s.huffman = b[0]>>prefix&1 != 0
	if size > maxInt/8 || minLen(size, s.huffman) > maxLen {
		return s, malformed
	}
	if uint64(len(b)-n) < size {
		return s, incomplete
	}
	end := n + int(size)
	s.data = b[n:end]
	return s, end
}

// byteWriter collects what hpack.HuffmanDecode writes.
type byteWriter struct{ b []byte }

func (w *byteWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// decode appends the decoded string to w; false when its Huffman code is wrong.
func (w *byteWriter) decode(s literal) bool {
	if !s.huffman {
		w.b = append(w.b, s.data...)
		return true
	}
	_, err := hpack.HuffmanDecode(w, s.data)
	return err == nil
}

// appendString appends s as a string literal whose length has prefix bits, in Huffman code where that is shorter; first
// holds the bits above the Huffman flag.
func appendString(b []byte, first byte, prefix uint, s string) []byte {
	if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
		b = appendInt(b, first|1<<prefix, prefix, n)
		return hpack.AppendHuffmanString(b, s)
	}
	b = appendInt(b, first, prefix, uint64(len(s)))
	return append(b, s...)
}
