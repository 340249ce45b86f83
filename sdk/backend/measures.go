package backend

// Bucket returns the number of the bucket in which a Durations counts a duration
// in nanoseconds: 32 equal ones in every power of two, below 2048. Negative
// durations are in the first.
func Bucket(ns int64) int { return bucket(ns) }

// CriticalPath finds the chain of steps that determined when a run ended: from
// the step that ended last back along Span.After, the step whose end enabled it.
// Not safe for concurrent use; the zero value is ready.
type CriticalPath struct{ p criticalPath }

// Of returns for each span the nanoseconds between the end of its enabler (its own
// start when there is none) and its own end, 0 when it is not on the path. The
// list is valid until the next call.
func (c *CriticalPath) Of(spans []Span) []int64 { return c.p.of(spans) }
