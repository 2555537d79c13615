package qpack

// Encoder encodes field sections for the peer of one connection. It is not safe for concurrent use.
type Encoder struct{ _ int }

// NewEncoder returns an Encoder that uses at most maxCapacity bytes of the dynamic table that the peer may offer.
// Until SetPeerLimits it uses only the static table.
func NewEncoder(maxCapacity uint64) *Encoder { panic("skeleton") }

// SetPeerLimits tells what the peer's SETTINGS allow.
func (e *Encoder) SetPeerLimits(maxCapacity uint64, maxBlocked uint64) { panic("skeleton") }

// Encode appends the encoded section to dst.
func (e *Encoder) Encode(dst []byte, streamID uint64, fields []Field) []byte { panic("skeleton") }

// HandleDecoderStream takes the next bytes of the peer's decoder stream.
func (e *Encoder) HandleDecoderStream(p []byte) error { panic("skeleton") }

// Pending returns bytes for the encoder stream, valid until the next call.
func (e *Encoder) Pending() []byte { panic("skeleton") }

// Sent removes the first n bytes from Pending.
func (e *Encoder) Sent(n int) { panic("skeleton") }
