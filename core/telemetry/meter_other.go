//go:build !linux

package telemetry

import "time"

var started = time.Now()

// threadTime returns the time on the wall: there is no clock of a thread here, so
// that the ratio is too high rather than too low.
func threadTime() time.Duration { return time.Since(started) }
