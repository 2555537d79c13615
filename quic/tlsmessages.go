package quic

// The types of TLS handshake messages that matter here (RFC 8446, Section 4).
const (
	tlsClientHello        = 1
	tlsServerHello        = 2
	tlsNewSessionTicket   = 4
	tlsCertificateRequest = 13
	tlsFinished           = 20
)

// tlsMessages finds the handshake messages in the CRYPTO data of one encryption level, however it comes in pieces.
type tlsMessages struct {
	header [4]byte
	have   uint8  // bytes of header
	body   uint32 // bytes of the message that are still to come
}

// next returns how many bytes of data, which must not be empty, belong to the message in hand, and whether it ends with
// them.
func (m *tlsMessages) next(data []byte) (n int, end bool) {
	if int(m.have) < len(m.header) {
		n = copy(m.header[m.have:], data)
		if m.have += uint8(n); int(m.have) < len(m.header) {
			return n, false
		}
		m.body = uint32(m.header[1])<<16 | uint32(m.header[2])<<8 | uint32(m.header[3])
	}
	k := min(int(m.body), len(data)-n)
	m.body -= uint32(k)
	if end = m.body == 0; end {
		m.have = 0
	}
	return n + k, end
}

// upToTurn returns data up to the end of the first message after which TLS may go on to other keys. What follows it at the
// same level is then found not to have been consumed (RFC 9001, Section 4.1.3).
func (m *tlsMessages) upToTurn(data []byte) []byte {
	for at := 0; at < len(data); {
		n, end := m.next(data[at:])
		at += n
		switch m.header[0] {
		case tlsClientHello, tlsServerHello, tlsFinished:
			if end {
				return data[:at]
			}
		}
	}
	return data
}

// postHandshake checks the messages that a peer sends after the handshake.
type postHandshake struct {
	tlsMessages
	ticket *ticketFields // nil between tickets
}

// check passes over data, which must consist of messages that may be there.
func (p *postHandshake) check(side Side, data []byte) *TransportError {
	for len(data) > 0 {
		n, end := p.next(data)
		// RFC 9001, Section 4.4 (MUST 3) and Section 6 (MUST 2): clients send nothing after the handshake, servers nothing
		// but session tickets; TLS's key updates are not for QUIC.
		if side == Client && p.header[0] == tlsCertificateRequest {
			return transportError(ProtocolViolation, "the server asks for a certificate after the handshake")
		}
		if side == Server || p.header[0] != tlsNewSessionTicket {
			return transportError(tlsAlert(alertUnexpectedMessage), "unexpected TLS message after the handshake")
		}
		if p.ticket == nil {
			p.ticket = newTicketFields()
		}
		if !p.ticket.check(data[:n]) {
			return transportError(ProtocolViolation, "a session ticket that limits early data by bytes")
		}
		if end {
			p.ticket = nil
		}
		data = data[n:]
	}
	return nil
}

// ticketFields reads a NewSessionTicket message, its header included, in pieces (RFC 8446, Section 4.6.1).
type ticketFields struct {
	skip  int    // bytes to pass over before the next field
	need  int    // bytes of the field that are still to come
	value uint32 // of the field so far
	field uint8
	typ   uint32 // of the extension in hand
}

// The fields that say what follows.
const (
	ticketNonceLen uint8 = iota
	ticketLen
	ticketExtensionsLen
	ticketExtensionType
	ticketExtensionLen
	ticketMaxEarlyData
)

// tlsEarlyData is the extension early_data (RFC 8446, Section 4.2.10).
const tlsEarlyData = 42

func newTicketFields() *ticketFields {
	const header, lifetime, ageAdd = 4, 4, 4
	return &ticketFields{skip: header + lifetime + ageAdd, field: ticketNonceLen, need: 1}
}

// check reads on. It reports false if max_early_data_size has a value that it must not have in QUIC.
func (t *ticketFields) check(data []byte) bool {
	for len(data) > 0 {
		if t.skip > 0 {
			n := min(t.skip, len(data))
			t.skip -= n
			data = data[n:]
			continue
		}
		t.value = t.value<<8 | uint32(data[0])
		data = data[1:]
		if t.need--; t.need > 0 {
			continue
		}
		// RFC 9001, Section 4.6.1 (MUST 2).
		if t.field == ticketMaxEarlyData && t.value != 0xffffffff {
			return false
		}
		t.advance()
	}
	return true
}

// advance goes on to the next field.
func (t *ticketFields) advance() {
	v := t.value
	t.value, t.need = 0, 2
	switch t.field {
	case ticketNonceLen:
		t.skip, t.field = int(v), ticketLen
	case ticketLen:
		t.skip, t.field = int(v), ticketExtensionsLen
	case ticketExtensionsLen, ticketMaxEarlyData:
		t.field = ticketExtensionType
	case ticketExtensionType:
		t.typ, t.field = v, ticketExtensionLen
	case ticketExtensionLen:
		if t.typ == tlsEarlyData && v == 4 {
			t.field, t.need = ticketMaxEarlyData, 4
			return
		}
		t.skip, t.field = int(v), ticketExtensionType
	}
}
