package prometheus

import (
	"strconv"

	"github.com/dunlin-quic/dunlin/metrics"
)

// Codes are made names, for a peer may send any of 2^62, each of which would be a series of its own.

// causeName tells, of what ends in the transport, TLS's faults apart.
func causeName(e metrics.End) string {
	if e.Cause == metrics.CauseTransport && isAlert(e.Code) {
		return "tls"
	}
	return e.Cause.String()
}

// isAlert reports whether the code is one of TLS's (RFC 9001, Section 4.8).
func isAlert(code uint64) bool { return code >= 0x100 && code <= 0x1ff }

// transportCodes are those of RFC 9000, Section 20.1, and RFC 9368, Section 10.2.
var transportCodes = [...]string{
	"NO_ERROR", "INTERNAL_ERROR", "CONNECTION_REFUSED", "FLOW_CONTROL_ERROR", "STREAM_LIMIT_ERROR", "STREAM_STATE_ERROR",
	"FINAL_SIZE_ERROR", "FRAME_ENCODING_ERROR", "TRANSPORT_PARAMETER_ERROR", "CONNECTION_ID_LIMIT_ERROR",
	"PROTOCOL_VIOLATION", "INVALID_TOKEN", "APPLICATION_ERROR", "CRYPTO_BUFFER_EXCEEDED", "KEY_UPDATE_ERROR",
	"AEAD_LIMIT_REACHED", "NO_VIABLE_PATH", "VERSION_NEGOTIATION_ERROR",
}

func transportCode(code uint64) string {
	switch {
	case code < uint64(len(transportCodes)):
		return transportCodes[code]
	case isAlert(code):
		return "CRYPTO_ERROR"
	}
	return "unknown"
}

// h3Codes are those of RFC 9114, Section 8.1, RFC 9204, Section 6, and RFC 9297, Section 5.2.
var h3Codes = map[uint64]string{
	0x33: "H3_DATAGRAM_ERROR", 0x100: "H3_NO_ERROR", 0x101: "H3_GENERAL_PROTOCOL_ERROR", 0x102: "H3_INTERNAL_ERROR",
	0x103: "H3_STREAM_CREATION_ERROR", 0x104: "H3_CLOSED_CRITICAL_STREAM", 0x105: "H3_FRAME_UNEXPECTED", 0x106: "H3_FRAME_ERROR",
	0x107: "H3_EXCESSIVE_LOAD", 0x108: "H3_ID_ERROR", 0x109: "H3_SETTINGS_ERROR", 0x10a: "H3_MISSING_SETTINGS",
	0x10b: "H3_REQUEST_REJECTED", 0x10c: "H3_REQUEST_CANCELLED", 0x10d: "H3_REQUEST_INCOMPLETE", 0x10e: "H3_MESSAGE_ERROR",
	0x10f: "H3_CONNECT_ERROR", 0x110: "H3_VERSION_FALLBACK", 0x200: "QPACK_DECOMPRESSION_FAILED",
	0x201: "QPACK_ENCODER_STREAM_ERROR", 0x202: "QPACK_DECODER_STREAM_ERROR",
}

// numberedCodes bounds the codes of unknown protocols that have a series each.
const numberedCodes = 32

func applicationCode(protocol string, code uint64) string {
	switch {
	case protocol == "h3":
		if name, ok := h3Codes[code]; ok {
			return name
		}
		// RFC 9114, Section 8.1: codes reserved to be greased with mean no more than H3_NO_ERROR.
		if code >= 0x21 && (code-0x21)%0x1f == 0 {
			return "H3_GREASE"
		}
	case code < numberedCodes:
		return strconv.FormatUint(code, 10)
	}
	return "unknown"
}
