package qlog

// transportErrors are the drafts' names of the error codes of RFC 9000, Section 20.1.
var transportErrors = [...]string{
	"no_error", "internal_error", "connection_refused", "flow_control_error", "stream_limit_error", "stream_state_error",
	"final_size_error", "frame_encoding_error", "transport_parameter_error", "connection_id_limit_error",
	"protocol_violation", "invalid_token", "application_error", "crypto_buffer_exceeded", "key_update_error",
	"aead_limit_reached", "no_viable_path",
}

// transportError writes the name of a transport error code, or "unknown" and the code.
func (o *object) transportError(k string, code uint64) {
	switch {
	case code < uint64(len(transportErrors)):
		o.name(k, transportErrors[code])
	case code>>8 == 1: // RFC 9001, Section 4.8: a TLS alert
		o.key(k)
		o.b = append(o.b, `"crypto_error_0x1`...)
		o.b = append(o.b, hexDigits[code>>4&15], hexDigits[code&15], '"')
	default:
		o.name(k, "unknown")
		o.mustUint("error_code", code)
	}
}

// http3Errors are the drafts' names of the error codes of RFC 9114, Section 8.1, which begin with 0x100.
var http3Errors = [...]string{
	"http_no_error", "http_general_protocol_error", "http_internal_error", "http_stream_creation_error",
	"http_closed_critical_stream", "http_frame_unexpected", "http_frame_error", "http_excessive_load", "http_id_error",
	"http_settings_error", "http_missing_settings", "http_request_rejected", "http_request_cancelled",
	"http_request_incomplete", "", "http_connect_error", "http_version_fallback",
}

// applicationError writes an application's error code. QUIC does not know the protocol, whose codes may mean anything; those of
// HTTP/3 have names, and for others than HTTP/3 the number would be lost with them: so it is always there.
func (o *object) applicationError(k string, code uint64) {
	name := "unknown"
	if i := code - 0x100; i < uint64(len(http3Errors)) && http3Errors[i] != "" {
		name = http3Errors[i]
	}
	o.name(k, name)
	o.mustUint("error_code", code)
}
