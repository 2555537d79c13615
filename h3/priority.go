package h3

// Priority is the priority of a response (RFC 9218, Section 4).
type Priority struct {
	Urgency     uint8 // 0, the highest, to 7
	Incremental bool  // useful in parts: shares the bandwidth with others of its urgency
}

// DefaultPriority is that of a request which names none.
var DefaultPriority = Priority{Urgency: 3}
