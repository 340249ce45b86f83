package backend

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Durations is a mergeable log-linear histogram of durations in nanoseconds:
// 32 equal buckets in every power of two. Quantile is therefore at most 1/64
// (1.6 %) off the true value at any size of sample, from 1 ns to 292 years.
// Weights need not be whole. The zero value is empty. Not safe for concurrent use.
type Durations struct {
	first   int       // bucket number of weights[0]
	weights []float64 // from the lowest bucket seen to the highest
	total   float64
	sum     float64
	max     int64
}

const octave = 32 // buckets in a power of two

func bucket(ns int64) int {
	v := uint64(max(ns, 0))
	if v < 2*octave {
		return int(v)
	}
	shift := bits.Len64(v) - 6
	return shift*octave + int(v>>shift)
}

// middle returns the nanoseconds in the middle of bucket b.
func middle(b int) float64 {
	if b < 2*octave {
		return float64(b)
	}
	shift := b/octave - 1
	low := uint64(b-shift*octave) << shift
	return float64(low) + float64(uint64(1)<<shift-1)/2
}

// limits returns the least and the greatest nanoseconds in bucket b.
func limits(b int) (low, high int64) {
	if b < 2*octave {
		return int64(b), int64(b)
	}
	shift := b/octave - 1
	low = int64(b-shift*octave) << shift
	return low, low + (1<<shift - 1)
}

// Add counts one duration with weight w. Negative durations count as zero.
func (d *Durations) Add(ns int64, w float64) {
	b := bucket(ns)
	if i := b - d.first; uint(i) < uint(len(d.weights)) {
		d.weights[i] += w
	} else {
		d.reach(b)
		d.weights[b-d.first] += w
	}
	d.total += w
	d.sum += w * float64(ns)
	d.max = max(d.max, ns)
}

// reach makes room for bucket b.
func (d *Durations) reach(b int) {
	switch {
	case len(d.weights) == 0:
		d.first, d.weights = b, make([]float64, 1, octave)
	case b < d.first:
		grown := make([]float64, d.first-b+len(d.weights))
		copy(grown[d.first-b:], d.weights)
		d.first, d.weights = b, grown
	default:
		for b-d.first >= len(d.weights) {
			d.weights = append(d.weights, 0)
		}
	}
}

// Merge adds all of o to d.
func (d *Durations) Merge(o *Durations) {
	if len(o.weights) == 0 {
		return
	}
	d.reach(o.first)
	d.reach(o.first + len(o.weights) - 1)
	for i, w := range o.weights {
		d.weights[o.first-d.first+i] += w
	}
	d.total += o.total
	d.sum += o.sum
	d.max = max(d.max, o.max)
}

// Count returns the sum of the weights.
func (d *Durations) Count() float64 { return d.total }

// Mean returns the weighted mean in seconds, exactly; 0 when empty.
func (d *Durations) Mean() float64 {
	if d.total == 0 {
		return 0
	}
	return d.sum / d.total / 1e9
}

// Max returns the longest duration in seconds, exactly; 0 when empty.
func (d *Durations) Max() float64 { return seconds(d.max) }

// Quantile returns the smallest duration, in seconds, that at least the share q
// of the weight does not exceed; 0 when empty.
func (d *Durations) Quantile(q float64) float64 {
	if b, _ := d.find(d.rank(q)); b >= 0 {
		return min(middle(b), float64(d.max)) / 1e9
	}
	return d.Max()
}

// rank is the weight that lies at or below the quantile q, less what adding up may
// have lost.
func (d *Durations) rank(q float64) float64 { return (q - 1e-9) * d.total }

// find returns the bucket in which the weight reaches rank and the weight below it;
// -1 when none does.
func (d *Durations) find(rank float64) (b int, before float64) {
	for i, w := range d.weights {
		if w > 0 && before+w >= rank {
			return d.first + i, before
		}
		before += w
	}
	return -1, before
}

func (d *Durations) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.first))
	dst = binary.AppendUvarint(dst, uint64(len(d.weights)))
	for _, w := range d.weights {
		dst = appendFloat(dst, w)
	}
	dst = appendFloat(dst, d.sum)
	return binary.AppendVarint(dst, d.max)
}

func (d *Durations) decode(r *decoder) {
	first := r.uint()
	n := r.count(1)
	if first > 64*octave || n > 64*octave {
		r.fail("bucket %d+%d does not exist", first, n)
		return
	}
	d.first, d.weights = int(first), make([]float64, n)
	b := r.b // here, since moving r.b for each number takes most of the time
	for i := range d.weights {
		if len(b) > 0 && b[0] == 0 {
			b = b[1:]
			continue
		}
		v, k := binary.Uvarint(b)
		if k <= 0 {
			r.fail("number cut short")
			return
		}
		b = b[k:]
		w := math.Float64frombits(bits.ReverseBytes64(v))
		if !(w >= 0) {
			r.fail("weight %v", w)
			return
		}
		d.weights[i] = w
		d.total += w
	}
	r.b = b
	d.sum = r.num()
	d.max = r.int()
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.AppendUvarint(dst, bits.ReverseBytes64(math.Float64bits(v)))
}
