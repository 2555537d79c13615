package flow

// Credit is what the peer lets this side send. The zero Credit lets it send nothing.
type Credit struct {
	limit uint64
	used  uint64
	told  bool // the peer was told that this limit blocks us
}

// Limit returns the highest limit that the peer has advertised.
func (c *Credit) Limit() uint64 { return c.limit }

// Used returns how much of it has been used.
func (c *Credit) Used() uint64 { return c.used }

// Available returns how much is left.
func (c *Credit) Available() uint64 { return c.limit - c.used }

// Use uses n bytes, which must be available.
func (c *Credit) Use(n uint64) { c.used += n }

// Raise learns a limit and reports whether it is a higher one. Others have no effect (RFC 9000, Section 4.1).
func (c *Credit) Raise(limit uint64) bool {
	if limit <= c.limit {
		return false
	}
	c.limit = limit
	c.told = false
	return true
}

// Replace learns a limit that counts whatever was advertised before. It must not be less than what has been used.
func (c *Credit) Replace(limit uint64) {
	c.limit = limit
	c.told = false
}

// Told reports whether the peer knows that the present limit blocks this side.
func (c *Credit) Told() bool { return c.told }

// Tell notes that the peer was told so, and Forget that the frame which did so was lost.
func (c *Credit) Tell() { c.told = true }

// Forget undoes Tell, if limit is still the present one.
func (c *Credit) Forget(limit uint64) {
	if limit == c.limit {
		c.told = false
	}
}
