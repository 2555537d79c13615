package congestion

// NewCUBIC returns the controller of RFC 9438, leaving slow start by HyStart++ (RFC 9406).
func NewCUBIC(maxDatagram int) Controller { panic("skeleton") }
