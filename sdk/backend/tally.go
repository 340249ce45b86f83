package backend

import "encoding/binary"

// Tally sums up runs, or the steps of one node. Tallies of disjoint sets merge
// into the tally of their union. The zero value is empty. Not safe for
// concurrent use.
type Tally struct {
	Durations Durations
	Recorded  int64   // records, unweighted
	Failures  float64 // weighted, like all below
	Retries   float64
	CacheHits float64
	Tokens    float64
	Cost      float64 // US dollars
	Blame     float64 // nanoseconds on the critical path of its run
	Cancelled float64

	exact *values // the durations themselves; nil when they are not kept
}

// time counts a duration.
func (t *Tally) time(ns int64, w float64) {
	t.Durations.Add(ns, w)
	if t.exact != nil {
		t.exact.add(ns, w)
	}
}

// quantiles returns the quantiles .5, .95 and .99 in seconds, exact when the
// durations were kept.
func (t *Tally) quantiles() (p50, p95, p99 float64) {
	d := &t.Durations
	var s [3]search
	for i, q := range [...]float64{.5, .95, .99} {
		b, before := d.find(d.rank(q))
		if t.exact == nil || t.exact.lost || b < 0 {
			return d.Quantile(.5), d.Quantile(.95), d.Quantile(.99)
		}
		s[i] = search{before: before, rank: d.rank(q)}
		s[i].low, s[i].high = limits(b)
	}
	t.exact.collect(&s[0], &s[1], &s[2])
	return seconds(s[0].find()), seconds(s[1].find()), seconds(s[2].find())
}

// Merge adds all of o to t.
func (t *Tally) Merge(o *Tally) {
	t.Durations.Merge(&o.Durations)
	if t.exact != nil {
		t.exact.merge(o.exact)
	}
	t.Recorded += o.Recorded
	t.Failures += o.Failures
	t.Retries += o.Retries
	t.CacheHits += o.CacheHits
	t.Tokens += o.Tokens
	t.Cost += o.Cost
	t.Blame += o.Blame
	t.Cancelled += o.Cancelled
}

// Stats returns the figures of t. Runs is the tally of the runs t belongs to,
// for the share of their time; nil when t is that itself.
func (t *Tally) Stats(runs *Tally) Stats {
	s := Stats{
		Recorded: t.Recorded, Count: t.Durations.Count(), Failures: t.Failures,
		Mean: t.Durations.Mean(), Max: t.Durations.Max(),
		Retries: t.Retries, CacheHits: t.CacheHits, Tokens: t.Tokens, Cost: t.Cost,
	}
	s.P50, s.P95, s.P99 = t.quantiles()
	if runs != nil && runs.Durations.sum > 0 {
		s.SelfBlame = t.Blame / runs.Durations.sum
	}
	return s
}

// Encode appends t to dst: what Sketch.Data holds.
func (t *Tally) Encode(dst []byte) []byte {
	dst = append(dst, blockVersion)
	dst = binary.AppendUvarint(dst, uint64(t.Recorded))
	for _, v := range [...]float64{t.Failures, t.Retries, t.CacheHits, t.Tokens, t.Cost, t.Blame, t.Cancelled} {
		dst = appendFloat(dst, v)
	}
	return t.Durations.encode(dst)
}

// DecodeTally returns the tally Encode wrote. Damage is a Corrupt fault.
func DecodeTally(b []byte) (*Tally, error) {
	d, t := decoder{b: b}, &Tally{}
	if v := d.byte(); d.err == nil && v != blockVersion {
		d.fail("tally of version %d", v)
	}
	t.Recorded = int64(d.uint())
	for _, v := range [...]*float64{&t.Failures, &t.Retries, &t.CacheHits, &t.Tokens, &t.Cost, &t.Blame, &t.Cancelled} {
		*v = d.num()
	}
	t.Durations.decode(&d)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return t, nil
}
