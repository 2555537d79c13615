package qpack

// Decoder decodes the field sections that a peer sends on one connection. It is not safe for concurrent use.
type Decoder struct{ _ int }

// NewDecoder returns a Decoder that allows the peer a dynamic table of up to maxCapacity bytes and up to maxBlocked
// streams whose sections wait for the encoder stream. Zero and zero allow only the static table; the two numbers
// are to be sent in SETTINGS.
func NewDecoder(maxCapacity uint64, maxBlocked int) *Decoder { panic("skeleton") }

// HandleEncoderStream takes the next bytes of the peer's encoder stream. An incomplete instruction is kept.
func (d *Decoder) HandleEncoderStream(p []byte) error { panic("skeleton") }

// Decode decodes the section that block holds whole, appending to dst. maxSize limits the section in bytes as
// RFC 9114, Section 4.2.2 counts; 0 is no limit. The strings of the result do not alias block.
func (d *Decoder) Decode(dst []Field, streamID uint64, block []byte, maxSize uint64) ([]Field, error) {
	panic("skeleton")
}

// NextUnblocked returns a stream whose section was blocked and can be decoded now.
func (d *Decoder) NextUnblocked() (streamID uint64, ok bool) { panic("skeleton") }

// Cancel says that no further section of the stream will be decoded: it was reset or is no longer read.
func (d *Decoder) Cancel(streamID uint64) { panic("skeleton") }

// Pending returns bytes for the decoder stream, valid until the next call.
func (d *Decoder) Pending() []byte { panic("skeleton") }

// Sent removes the first n bytes from Pending.
func (d *Decoder) Sent(n int) { panic("skeleton") }
