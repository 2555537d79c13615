package h3

import (
	"io"

	"github.com/dunlin-quic/dunlin/quic"
)

// frameReader finds the frames in the bytes of a QUIC stream, wherever they are cut. It holds no payload but that of
// the frame which collect was asked for.
type frameReader struct {
	qs      *quic.Stream
	typ     frameType
	left    uint64 // payload bytes of the current frame that were not taken from qs
	inFrame bool
	partial uint8 // bytes of header that are a frame header's beginning
	header  [maxFrameHeader]byte
	payload []byte // see collect
}

// next reads a frame header. It returns io.EOF at the end of the stream, io.ErrUnexpectedEOF if that is within the
// header, or the error of the QUIC stream.
func (r *frameReader) next() error {
	for {
		b, err := r.qs.Peek()
		if err != nil {
			return r.truncated(err, r.partial > 0)
		}
		if r.partial == 0 {
			if typ, length, n := parseFrameHeader(b); n > 0 {
				r.qs.Discard(n)
				r.typ, r.left, r.inFrame = typ, length, true
				return nil
			}
		}
		had := int(r.partial)
		got := copy(r.header[had:], b)
		typ, length, n := parseFrameHeader(r.header[:had+got])
		if n > 0 {
			r.qs.Discard(n - had)
			r.typ, r.left, r.inFrame, r.partial = typ, length, true, 0
			return nil
		}
		r.qs.Discard(got)
		r.partial += uint8(got)
	}
}

// truncated turns the end of the stream within a frame into io.ErrUnexpectedEOF.
func (r *frameReader) truncated(err error, within bool) error {
	if err == io.EOF && within {
		return io.ErrUnexpectedEOF
	}
	return err
}

// peek waits for payload of the current frame, which must not be at its end.
func (r *frameReader) peek() ([]byte, error) {
	b, err := r.qs.Peek()
	if err != nil {
		return nil, r.truncated(err, true)
	}
	return b[:min(uint64(len(b)), r.left)], nil
}

// discard takes n bytes of payload.
func (r *frameReader) discard(n int) {
	r.qs.Discard(n)
	r.left -= uint64(n)
}

// skip takes what is left of the frame, unseen.
func (r *frameReader) skip() error {
	for r.left > 0 {
		b, err := r.peek()
		if err != nil {
			return err
		}
		r.discard(len(b))
	}
	r.inFrame = false
	return nil
}

// collect returns the whole payload of the frame, which the caller has found to be of acceptable length. It stays in
// the stream's own buffer if it lies there in one piece; else what has arrived is copied. The result is valid until
// done, which has to be called after it, or the next call on the connection.
func (r *frameReader) collect() ([]byte, error) {
	for r.left > 0 {
		b, err := r.peek()
		if err != nil {
			return nil, err
		}
		if len(r.payload) == 0 && uint64(len(b)) == r.left {
			return b, nil
		}
		r.payload = append(r.payload, b...)
		r.discard(len(b))
	}
	return r.payload, nil
}

// done ends the frame whose payload was collected.
func (r *frameReader) done() {
	if r.left > 0 {
		r.discard(int(r.left))
	}
	r.payload = nil
	r.inFrame = false
}
