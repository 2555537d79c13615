package congestion

// NewNewReno returns the controller of RFC 9002, Section 7.
func NewNewReno(maxDatagram int) Controller { panic("skeleton") }
