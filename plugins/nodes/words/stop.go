package words

import "strings"

// stop are words that carry grammar rather than meaning, question words and the
// endings that the apostrophe of a contraction leaves behind; none is longer than
// eight bytes. They stand in slots of a hash table, 0 in an empty one.
var stop = func() (slots [512]uint64) {
	for w := range strings.FieldsSeq(`
		a about after all also am an and any are as at be because been before being best both but by can cannot could
		did do does doing don done each either else ever every for from get gets getting give given gives go goes had has
		have having he her here his how i if in into is it its itself just let like ll made make makes may me might
		more most much must my need needs neither nor not of off on once one ones only onto or other our out over own
		per please rather re s same shall she should since so some such t than that the their them then there these
		they this those though through thus to too under until up upon us use used uses using ve very via want wants
		was way we well were what when where whether which while who whom whose why will with within without would you
		your`) {
		x := load([]byte(w), 0)
		i := stopSlot(x)
		for slots[i] != 0 {
			i = (i + 1) % uint64(len(slots))
		}
		slots[i] = x
	}
	return slots
}()

func stopSlot(x uint64) uint64 { return x * 0xbf58476d1ce4e5b9 >> 55 }

// IsStop reports whether the lower-case word w is a stop word.
func IsStop(w []byte) bool {
	if len(w) == 0 || len(w) > 8 {
		return false
	}
	x := tail(w, 0)
	for i := stopSlot(x); stop[i] != 0; i = (i + 1) % uint64(len(stop)) {
		if stop[i] == x {
			return true
		}
	}
	return false
}
