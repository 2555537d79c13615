package engine

import (
	"crypto/tls"

	"github.com/dunlin-quic/dunlin/quic"
)

// alertNoApplicationProtocol is the TLS alert no_application_protocol (RFC 7301, Section 3.2).
const alertNoApplicationProtocol = 120

// ByProtocol makes the application of a server's connection by the protocol that TLS negotiated (ALPN), so that one listener
// serves several; tls.Config.NextProtos must name them, in order of preference. A connection of no protocol or another one is
// closed with no_application_protocol.
func ByProtocol(applications map[string]NewApplicationFunc) NewApplicationFunc {
	return func(info ConnInfo) (ApplicationOverQUIC, error) {
		var state tls.ConnectionState
		if info.TLS != nil {
			state = *info.TLS
		}
		if f := applications[state.NegotiatedProtocol]; f != nil {
			return f(info)
		}
		return nil, &quic.TransportError{
			Code: quic.CryptoError + alertNoApplicationProtocol, Reason: "no application for the negotiated protocol",
		}
	}
}
