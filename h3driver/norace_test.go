//go:build !race

package h3driver

const raceEnabled = false
