package http3_test

import "runtime/debug"

// raceEnabled is true under the race detector, which allocates and empties pools.
var raceEnabled = func() bool {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}()
