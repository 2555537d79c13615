// Package monotime is the time that the sans-IO packages reckon in: nanoseconds since an epoch that the owner of a
// connection chose. It is half the size of a time.Time, compares in one instruction, and cannot be asked for "now".
package monotime

import "time"

// Time is an instant in nanoseconds since an [Epoch]. The zero Time means "not set"; an Epoch never yields it.
type Time int64

// Never is later than every instant that can occur.
const Never Time = 1<<63 - 1

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the duration t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t is later than u.
func (t Time) After(u Time) bool { return t > u }

// IsZero reports whether t is not set.
func (t Time) IsZero() bool { return t == 0 }

// Min returns the earlier of t and u, where an instant that is not set counts as later than all others.
func Min(t, u Time) Time {
	if t == 0 || (u != 0 && u < t) {
		return u
	}
	return t
}

// Epoch maps wall-clock instants to [Time] and back. Both directions keep the monotonic reading of time.Time.
type Epoch struct{ base time.Time }

// lead keeps instants shortly before the epoch's creation (packets stamped by the kernel) positive.
const lead = time.Hour

// NewEpoch returns an epoch in which now is a positive instant.
func NewEpoch(now time.Time) Epoch { return Epoch{now.Add(-lead)} }

// At returns the instant of t. Instants more than an hour before the epoch was made are clamped to its start.
func (e Epoch) At(t time.Time) Time { return max(Time(t.Sub(e.base)), 1) }

// Time returns the wall-clock instant of t.
func (e Epoch) Time(t Time) time.Time { return e.base.Add(time.Duration(t)) }
