package wire

import "encoding/binary"

// The parsers here take a buffer that begins with the frame's type in its shortest encoding, and return the frame and its
// length. A length of 0 means that the frame is malformed: a FRAME_ENCODING_ERROR (RFC 9000, Section
// 20.1). Byte slices in frames alias the buffer. The appenders require valid values.

// start returns a reader behind the type of a frame that must be of type t.
func start(b []byte, t FrameType) reader {
	if len(b) == 0 || FrameType(b[0]) != t {
		return reader{bad: true}
	}
	return reader{b: b, pos: 1}
}

// appendFields appends the type of a frame and fields that are integers.
func appendFields(b []byte, t FrameType, fields ...uint64) []byte {
	b = append(b, byte(t))
	for _, v := range fields {
		b = AppendVarint(b, v)
	}
	return b
}

// fieldsLen returns how many bytes appendFields takes.
func fieldsLen(fields ...uint64) int {
	n := 1
	for _, v := range fields {
		n += VarintLen(v)
	}
	return n
}

// ResetStreamFrame is a RESET_STREAM frame (RFC 9000, Section 19.4).
type ResetStreamFrame struct{ ID, Code, FinalSize uint64 }

// ParseResetStream parses a RESET_STREAM frame.
func ParseResetStream(b []byte) (f ResetStreamFrame, n int) {
	r := start(b, FrameResetStream)
	f = ResetStreamFrame{ID: r.varint(), Code: r.varint(), FinalSize: r.varint()}
	return f, r.end()
}

// AppendResetStream appends a RESET_STREAM frame.
func AppendResetStream(b []byte, f ResetStreamFrame) []byte {
	return appendFields(b, FrameResetStream, f.ID, f.Code, f.FinalSize)
}

// ResetStreamLen returns the length of a RESET_STREAM frame.
func ResetStreamLen(f ResetStreamFrame) int { return fieldsLen(f.ID, f.Code, f.FinalSize) }

// ResetStreamAtFrame is a RESET_STREAM_AT frame (draft-ietf-quic-reliable-stream-reset, Section 4): a RESET_STREAM frame, with
// how many bytes of the stream are delivered all the same.
type ResetStreamAtFrame struct{ ID, Code, FinalSize, ReliableSize uint64 }

// ParseResetStreamAt parses a RESET_STREAM_AT frame. A reliable size above the final size is malformed.
func ParseResetStreamAt(b []byte) (f ResetStreamAtFrame, n int) {
	r := start(b, FrameResetStreamAt)
	f = ResetStreamAtFrame{ID: r.varint(), Code: r.varint(), FinalSize: r.varint(), ReliableSize: r.varint()}
	if f.ReliableSize > f.FinalSize {
		return f, 0
	}
	return f, r.end()
}

// AppendResetStreamAt appends a RESET_STREAM_AT frame.
func AppendResetStreamAt(b []byte, f ResetStreamAtFrame) []byte {
	return appendFields(b, FrameResetStreamAt, f.ID, f.Code, f.FinalSize, f.ReliableSize)
}

// ResetStreamAtLen returns the length of a RESET_STREAM_AT frame.
func ResetStreamAtLen(f ResetStreamAtFrame) int {
	return fieldsLen(f.ID, f.Code, f.FinalSize, f.ReliableSize)
}

// AckFrequencyFrame is an ACK_FREQUENCY frame (draft-ietf-quic-ack-frequency, Section 4).
type AckFrequencyFrame struct {
	Seq uint64
	// Threshold is how many ack-eliciting packets may wait for an ACK, Reordering how far packets may be out of order before
	// they are acknowledged at once, 0 for any distance.
	Threshold, Reordering uint64
	MaxAckDelay           uint64 // microseconds
}

// ParseAckFrequency parses an ACK_FREQUENCY frame.
func ParseAckFrequency(b []byte) (f AckFrequencyFrame, n int) {
	if len(b) < 2 || PeekFrameType(b) != FrameAckFrequency {
		return f, 0
	}
	r := reader{b: b, pos: 2}
	f.Seq, f.Threshold, f.MaxAckDelay, f.Reordering = r.varint(), r.varint(), r.varint(), r.varint()
	return f, r.end()
}

// AppendAckFrequency appends an ACK_FREQUENCY frame.
func AppendAckFrequency(b []byte, f AckFrequencyFrame) []byte {
	b = append(b, twoBytes)
	return appendFields(b, FrameAckFrequency, f.Seq, f.Threshold, f.MaxAckDelay, f.Reordering)
}

// AckFrequencyLen returns the length of an ACK_FREQUENCY frame.
func AckFrequencyLen(f AckFrequencyFrame) int {
	return 1 + fieldsLen(f.Seq, f.Threshold, f.MaxAckDelay, f.Reordering)
}

// AppendImmediateAck appends an IMMEDIATE_ACK frame (draft-ietf-quic-ack-frequency, Section 5).
func AppendImmediateAck(b []byte) []byte { return append(b, byte(FrameImmediateAck)) }

// StopSendingFrame is a STOP_SENDING frame (RFC 9000, Section 19.5).
type StopSendingFrame struct{ ID, Code uint64 }

// ParseStopSending parses a STOP_SENDING frame.
func ParseStopSending(b []byte) (f StopSendingFrame, n int) {
	r := start(b, FrameStopSending)
	f = StopSendingFrame{ID: r.varint(), Code: r.varint()}
	return f, r.end()
}

// AppendStopSending appends a STOP_SENDING frame.
func AppendStopSending(b []byte, f StopSendingFrame) []byte {
	return appendFields(b, FrameStopSending, f.ID, f.Code)
}

// StopSendingLen returns the length of a STOP_SENDING frame.
func StopSendingLen(f StopSendingFrame) int { return fieldsLen(f.ID, f.Code) }

// ParseNewToken parses a NEW_TOKEN frame (RFC 9000, Section 19.7). An empty token is malformed.
func ParseNewToken(b []byte) (token []byte, n int) {
	r := start(b, FrameNewToken)
	token = r.bytes(r.varint())
	if len(token) == 0 {
		return nil, 0
	}
	return token, r.end()
}

// AppendNewToken appends a NEW_TOKEN frame.
func AppendNewToken(b, token []byte) []byte {
	return append(appendFields(b, FrameNewToken, uint64(len(token))), token...)
}

// NewTokenLen returns the length of a NEW_TOKEN frame with a token of tokenLen bytes.
func NewTokenLen(tokenLen int) int { return fieldsLen(uint64(tokenLen)) + tokenLen }

// ParseMaxData parses a MAX_DATA frame (RFC 9000, Section 19.9).
func ParseMaxData(b []byte) (limit uint64, n int) { return parseOne(b, FrameMaxData) }

// AppendMaxData appends a MAX_DATA frame.
func AppendMaxData(b []byte, limit uint64) []byte { return appendFields(b, FrameMaxData, limit) }

func parseOne(b []byte, t FrameType) (v uint64, n int) {
	r := start(b, t)
	v = r.varint()
	return v, r.end()
}

// StreamLimitFrame is a MAX_STREAM_DATA frame (RFC 9000, Section 19.10) or a STREAM_DATA_BLOCKED frame (Section 19.13):
// a stream and a limit on its data.
type StreamLimitFrame struct{ ID, Limit uint64 }

func parseStreamLimit(b []byte, t FrameType) (f StreamLimitFrame, n int) {
	r := start(b, t)
	f = StreamLimitFrame{ID: r.varint(), Limit: r.varint()}
	return f, r.end()
}

// ParseMaxStreamData parses a MAX_STREAM_DATA frame.
func ParseMaxStreamData(b []byte) (f StreamLimitFrame, n int) {
	return parseStreamLimit(b, FrameMaxStreamData)
}

// AppendMaxStreamData appends a MAX_STREAM_DATA frame.
func AppendMaxStreamData(b []byte, f StreamLimitFrame) []byte {
	return appendFields(b, FrameMaxStreamData, f.ID, f.Limit)
}

// StreamLimitLen returns the length of a MAX_STREAM_DATA or STREAM_DATA_BLOCKED frame.
func StreamLimitLen(f StreamLimitFrame) int { return fieldsLen(f.ID, f.Limit) }

// MaxStreams is the highest number of streams of a kind that there can be (RFC 9000, Section 4.6).
const MaxStreams = 1 << 60

// StreamsFrame is a MAX_STREAMS frame (RFC 9000, Section 19.11) or a STREAMS_BLOCKED frame (Section 19.14): a direction
// and a limit on the number of streams, at most MaxStreams.
type StreamsFrame struct {
	Uni   bool
	Limit uint64
}

func parseStreams(b []byte, bidi FrameType) (f StreamsFrame, n int) {
	if len(b) > 0 && FrameType(b[0]) == bidi|1 {
		f.Uni = true
		bidi |= 1
	}
	f.Limit, n = parseOne(b, bidi)
	// RFC 9000, Section 4.6: more streams than have IDs can't be allowed.
	if f.Limit > MaxStreams {
		return f, 0
	}
	return f, n
}

func (f StreamsFrame) typ(bidi FrameType) FrameType {
	if f.Uni {
		return bidi | 1
	}
	return bidi
}

// ParseMaxStreams parses a MAX_STREAMS frame of either type.
func ParseMaxStreams(b []byte) (f StreamsFrame, n int) { return parseStreams(b, FrameMaxStreamsBidi) }

// AppendMaxStreams appends a MAX_STREAMS frame.
func AppendMaxStreams(b []byte, f StreamsFrame) []byte {
	return appendFields(b, f.typ(FrameMaxStreamsBidi), f.Limit)
}

// ParseDataBlocked parses a DATA_BLOCKED frame (RFC 9000, Section 19.12).
func ParseDataBlocked(b []byte) (limit uint64, n int) { return parseOne(b, FrameDataBlocked) }

// AppendDataBlocked appends a DATA_BLOCKED frame.
func AppendDataBlocked(b []byte, limit uint64) []byte {
	return appendFields(b, FrameDataBlocked, limit)
}

// ParseStreamDataBlocked parses a STREAM_DATA_BLOCKED frame.
func ParseStreamDataBlocked(b []byte) (f StreamLimitFrame, n int) {
	return parseStreamLimit(b, FrameStreamDataBlocked)
}

// AppendStreamDataBlocked appends a STREAM_DATA_BLOCKED frame.
func AppendStreamDataBlocked(b []byte, f StreamLimitFrame) []byte {
	return appendFields(b, FrameStreamDataBlocked, f.ID, f.Limit)
}

// ParseStreamsBlocked parses a STREAMS_BLOCKED frame of either type.
func ParseStreamsBlocked(b []byte) (f StreamsFrame, n int) {
	return parseStreams(b, FrameStreamsBlockedBidi)
}

// AppendStreamsBlocked appends a STREAMS_BLOCKED frame.
func AppendStreamsBlocked(b []byte, f StreamsFrame) []byte {
	return appendFields(b, f.typ(FrameStreamsBlockedBidi), f.Limit)
}

// LimitLen returns the length of a MAX_DATA, DATA_BLOCKED, MAX_STREAMS or STREAMS_BLOCKED frame.
func LimitLen(limit uint64) int { return fieldsLen(limit) }

// ResetTokenLen is the length of a stateless reset token (RFC 9000, Section 10.3).
const ResetTokenLen = 16

// NewConnectionIDFrame is a NEW_CONNECTION_ID frame (RFC 9000, Section 19.15).
type NewConnectionIDFrame struct {
	Seq, RetirePriorTo uint64
	ID                 ConnectionID // 1 to 20 bytes
	ResetToken         [ResetTokenLen]byte
}

// ParseNewConnectionID parses a NEW_CONNECTION_ID frame. A connection ID of other than 1 to 20 bytes is malformed, and
// so is a Retire Prior To above the sequence number.
func ParseNewConnectionID(b []byte) (f NewConnectionIDFrame, n int) {
	r := start(b, FrameNewConnectionID)
	f.Seq = r.varint()
	f.RetirePriorTo = r.varint()
	l := r.byte()
	if r.bad || l == 0 || l > MaxConnectionIDLen || f.RetirePriorTo > f.Seq {
		return f, 0
	}
	id := r.bytes(uint64(l))
	token := r.bytes(ResetTokenLen)
	if r.bad {
		return f, 0
	}
	f.ID = NewConnectionID(id)
	copy(f.ResetToken[:], token)
	return f, r.end()
}

// AppendNewConnectionID appends a NEW_CONNECTION_ID frame.
func AppendNewConnectionID(b []byte, f NewConnectionIDFrame) []byte {
	b = appendFields(b, FrameNewConnectionID, f.Seq, f.RetirePriorTo)
	b = append(b, byte(f.ID.Len()))
	b = f.ID.Append(b)
	return append(b, f.ResetToken[:]...)
}

// NewConnectionIDLen returns the length of a NEW_CONNECTION_ID frame.
func NewConnectionIDLen(f NewConnectionIDFrame) int {
	return fieldsLen(f.Seq, f.RetirePriorTo) + 1 + f.ID.Len() + ResetTokenLen
}

// ParseRetireConnectionID parses a RETIRE_CONNECTION_ID frame (RFC 9000, Section 19.16).
func ParseRetireConnectionID(b []byte) (seq uint64, n int) {
	return parseOne(b, FrameRetireConnectionID)
}

// AppendRetireConnectionID appends a RETIRE_CONNECTION_ID frame.
func AppendRetireConnectionID(b []byte, seq uint64) []byte {
	return appendFields(b, FrameRetireConnectionID, seq)
}

// RetireConnectionIDLen returns the length of a RETIRE_CONNECTION_ID frame.
func RetireConnectionIDLen(seq uint64) int { return fieldsLen(seq) }

// PathDataLen is the length of a PATH_CHALLENGE or PATH_RESPONSE frame (RFC 9000, Sections 19.17 and 19.18).
const PathDataLen = 1 + 8

func parsePath(b []byte, t FrameType) (data [8]byte, n int) {
	r := start(b, t)
	copy(data[:], r.bytes(8))
	return data, r.end()
}

// ParsePathChallenge parses a PATH_CHALLENGE frame.
func ParsePathChallenge(b []byte) (data [8]byte, n int) { return parsePath(b, FramePathChallenge) }

// AppendPathChallenge appends a PATH_CHALLENGE frame.
func AppendPathChallenge(b []byte, data [8]byte) []byte {
	return append(append(b, byte(FramePathChallenge)), data[:]...)
}

// ParsePathResponse parses a PATH_RESPONSE frame.
func ParsePathResponse(b []byte) (data [8]byte, n int) { return parsePath(b, FramePathResponse) }

// AppendPathResponse appends a PATH_RESPONSE frame.
func AppendPathResponse(b []byte, data [8]byte) []byte {
	return append(append(b, byte(FramePathResponse)), data[:]...)
}

// ConnectionCloseFrame is a CONNECTION_CLOSE frame (RFC 9000, Section 19.19).
type ConnectionCloseFrame struct {
	App       bool // type 0x1d: the code is the application protocol's
	Code      uint64
	FrameType FrameType // what triggered a transport error; 0 if App
	Reason    []byte
}

// ParseConnectionClose parses a CONNECTION_CLOSE frame of either type.
func ParseConnectionClose(b []byte) (f ConnectionCloseFrame, n int) {
	t := FrameConnectionClose
	if len(b) > 0 && FrameType(b[0]) == FrameConnectionCloseApp {
		t = FrameConnectionCloseApp
		f.App = true
	}
	r := start(b, t)
	f.Code = r.varint()
	if !f.App {
		f.FrameType = FrameType(r.varint())
	}
	f.Reason = r.bytes(r.varint())
	return f, r.end()
}

// AppendConnectionClose appends a CONNECTION_CLOSE frame of at most room bytes: a longer reason is cut. room must be
// at least 25.
func AppendConnectionClose(b []byte, f ConnectionCloseFrame, room int) []byte {
	end := len(b) + room
	if f.App {
		b = appendFields(b, FrameConnectionCloseApp, f.Code)
	} else {
		b = appendFields(b, FrameConnectionClose, f.Code, uint64(f.FrameType))
	}
	reason := f.Reason
	if most := max(end-len(b)-VarintLen(uint64(len(reason))), 0); len(reason) > most {
		reason = reason[:most]
	}
	b = AppendVarint(b, uint64(len(reason)))
	return append(b, reason...)
}

// StreamFrame is a STREAM frame (RFC 9000, Section 19.8).
type StreamFrame struct {
	ID, Offset uint64
	Data       []byte
	Fin        bool
}

// ParseStream parses a STREAM frame of any of its eight types. Data that would end beyond 2^62-1 is malformed.
func ParseStream(b []byte) (f StreamFrame, n int) {
	if len(b) == 0 || !FrameType(b[0]).IsStream() {
		return f, 0
	}
	r := reader{b: b, pos: 1}
	f.ID = r.varint()
	if b[0]&streamOFF != 0 {
		f.Offset = r.varint()
	}
	if b[0]&streamLEN != 0 {
		f.Data = r.bytes(r.varint())
	} else {
		f.Data = r.bytes(uint64(len(b) - r.pos))
	}
	f.Fin = b[0]&streamFIN != 0
	if f.Offset+uint64(len(f.Data)) > MaxVarint {
		return f, 0
	}
	return f, r.end()
}

// AppendStreamHeader appends a STREAM frame up to its data, of length bytes, which the caller appends.
func AppendStreamHeader(b []byte, id, offset uint64, length int, fin bool) []byte {
	pos := len(b)
	b = append(b, byte(FrameStream|streamLEN))
	b = AppendVarint(b, id)
	if offset > 0 {
		b[pos] |= streamOFF
		b = AppendVarint(b, offset)
	}
	if fin {
		b[pos] |= streamFIN
	}
	return AppendVarint(b, uint64(length))
}

// AppendStreamHeaderToEnd is AppendStreamHeader for the last frame of a packet: without a length, its data reaches up
// to the packet's end.
func AppendStreamHeaderToEnd(b []byte, id, offset uint64, fin bool) []byte {
	pos := len(b)
	b = append(b, byte(FrameStream))
	b = AppendVarint(b, id)
	if offset > 0 {
		b[pos] |= streamOFF
		b = AppendVarint(b, offset)
	}
	if fin {
		b[pos] |= streamFIN
	}
	return b
}

// StreamHeaderLen returns how many bytes AppendStreamHeader takes.
func StreamHeaderLen(id, offset uint64, length int) int {
	return StreamHeaderToEndLen(id, offset) + VarintLen(uint64(length))
}

// StreamHeaderToEndLen returns how many bytes AppendStreamHeaderToEnd takes.
func StreamHeaderToEndLen(id, offset uint64) int {
	n := 1 + VarintLen(id)
	if offset > 0 {
		n += VarintLen(offset)
	}
	return n
}

// CryptoFrame is a CRYPTO frame (RFC 9000, Section 19.6).
type CryptoFrame struct {
	Offset uint64
	Data   []byte
}

// ParseCrypto parses a CRYPTO frame. Data that would end beyond 2^62-1 is malformed.
func ParseCrypto(b []byte) (f CryptoFrame, n int) {
	r := start(b, FrameCrypto)
	f.Offset = r.varint()
	f.Data = r.bytes(r.varint())
	if f.Offset+uint64(len(f.Data)) > MaxVarint {
		return f, 0
	}
	return f, r.end()
}

// AppendCryptoHeader appends a CRYPTO frame up to its data, of length bytes, which the caller appends.
func AppendCryptoHeader(b []byte, offset uint64, length int) []byte {
	return appendFields(b, FrameCrypto, offset, uint64(length))
}

// CryptoHeaderLen returns how many bytes AppendCryptoHeader takes.
func CryptoHeaderLen(offset uint64, length int) int { return fieldsLen(offset, uint64(length)) }

// ParseDatagram parses a DATAGRAM frame of either type (RFC 9221, Section 4).
func ParseDatagram(b []byte) (data []byte, n int) {
	if len(b) == 0 || FrameType(b[0])&^1 != FrameDatagram {
		return nil, 0
	}
	r := reader{b: b, pos: 1}
	if FrameType(b[0]) == FrameDatagramLen {
		data = r.bytes(r.varint())
	} else {
		data = r.bytes(uint64(len(b) - 1))
	}
	return data, r.end()
}

// AppendDatagramHeader appends a DATAGRAM frame up to its data, of length bytes, which the caller appends.
func AppendDatagramHeader(b []byte, length int) []byte {
	return appendFields(b, FrameDatagramLen, uint64(length))
}

// DatagramHeaderLen returns how many bytes AppendDatagramHeader takes.
func DatagramHeaderLen(length int) int { return fieldsLen(uint64(length)) }

// AppendPing appends a PING frame, AppendHandshakeDone a HANDSHAKE_DONE frame: each is its type alone.
func AppendPing(b []byte) []byte { return append(b, byte(FramePing)) }

// AppendHandshakeDone appends a HANDSHAKE_DONE frame.
func AppendHandshakeDone(b []byte) []byte { return append(b, byte(FrameHandshakeDone)) }

// AppendPadding appends n PADDING frames.
func AppendPadding(b []byte, n int) []byte {
	for ; n >= 8; n -= 8 {
		b = binary.BigEndian.AppendUint64(b, 0)
	}
	for ; n > 0; n-- {
		b = append(b, 0)
	}
	return b
}

// ParsePadding returns the length of the run of PADDING frames that b begins with.
func ParsePadding(b []byte) (n int) {
	for n+8 <= len(b) && binary.NativeEndian.Uint64(b[n:]) == 0 {
		n += 8
	}
	for n < len(b) && b[n] == 0 {
		n++
	}
	return n
}
