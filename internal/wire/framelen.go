package wire

// FrameLen returns the length of the frame that b begins with, 0 if it is malformed or of a type that is not known. It is for
// those who look on; a connection parses.
func FrameLen(b []byte) (n int) {
	switch t := PeekFrameType(b); t {
	case FramePadding:
		return ParsePadding(b)
	case FramePing, FrameHandshakeDone, FrameImmediateAck:
		return 1
	case FrameAck, FrameAckECN:
		_, n = ParseAck(b, nil)
	case FrameResetStream:
		_, n = ParseResetStream(b)
	case FrameResetStreamAt:
		_, n = ParseResetStreamAt(b)
	case FrameAckFrequency:
		_, n = ParseAckFrequency(b)
	case FrameStopSending:
		_, n = ParseStopSending(b)
	case FrameCrypto:
		_, n = ParseCrypto(b)
	case FrameNewToken:
		_, n = ParseNewToken(b)
	case FrameMaxData:
		_, n = ParseMaxData(b)
	case FrameMaxStreamData:
		_, n = ParseMaxStreamData(b)
	case FrameMaxStreamsBidi, FrameMaxStreamsUni:
		_, n = ParseMaxStreams(b)
	case FrameDataBlocked:
		_, n = ParseDataBlocked(b)
	case FrameStreamDataBlocked:
		_, n = ParseStreamDataBlocked(b)
	case FrameStreamsBlockedBidi, FrameStreamsBlockedUni:
		_, n = ParseStreamsBlocked(b)
	case FrameNewConnectionID:
		_, n = ParseNewConnectionID(b)
	case FrameRetireConnectionID:
		_, n = ParseRetireConnectionID(b)
	case FramePathChallenge:
		_, n = ParsePathChallenge(b)
	case FramePathResponse:
		_, n = ParsePathResponse(b)
	case FrameConnectionClose, FrameConnectionCloseApp:
		_, n = ParseConnectionClose(b)
	case FrameDatagram, FrameDatagramLen:
		_, n = ParseDatagram(b)
	default:
		if t.IsStream() {
			_, n = ParseStream(b)
		}
	}
	return n
}
