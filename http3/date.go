package http3

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateString is the Date field's value of one second.
type dateString struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateString]

// httpDate returns the value of a Date field for now; it is formatted once per second.
func httpDate(now time.Time) string {
	second := now.Unix()
	if d := lastDate.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &dateString{second, now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}
