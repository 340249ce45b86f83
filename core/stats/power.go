package stats

import "math"

// PairsFor returns how many pairs find a relative change of delta (0.05 = 5 %, either sign, above -1, not 0) with
// probability 80 %, when the improvements of single inputs have the standard deviation sd:
// 1.05 (2.8 sd / |ln(1+delta)|)^2. It is math.MaxInt when no number does.
func PairsFor(sd, delta float64) int {
	n := math.Ceil(1.05 * math.Pow(2.8*sd/math.Abs(math.Log1p(delta)), 2))
	if !(n < math.MaxInt32) {
		return math.MaxInt
	}
	return int(n)
}

// SmallestEffect returns the smallest change, as a size |ln(1+delta)|, that n pairs find with probability 80 % when the
// improvements of single inputs have the standard deviation sd; +Inf when n < 1. It is the inverse of PairsFor.
func SmallestEffect(n int, sd float64) float64 {
	if n < 1 {
		return math.Inf(1)
	}
	return 2.8 * sd * math.Sqrt(1.05/float64(n))
}

// ConditionalPower returns the probability, in [0,1], that a score of z at the information fraction t in (0,1) ends
// above the last boundary if the trend seen so far is the truth. Source: Jennison & Turnbull 2000, section 10.2.
func ConditionalPower(z, t, last float64) float64 {
	return upperTail((last - z/math.Sqrt(t)) / math.Sqrt(1-t))
}
