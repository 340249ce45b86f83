package pattern

import (
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// alphabet divides the characters into classes that an expression treats alike.
type alphabet struct {
	ascii  [utf8.RuneSelf]uint16
	from   []rune   // where ranges of characters of one class begin, ascending
	of     []uint16 // their classes
	sample []rune   // one character of each class
}

// class returns the class of r.
func (a *alphabet) class(r rune) int {
	i, found := slices.BinarySearch(a.from, r)
	if !found {
		i--
	}
	return int(a.of[i])
}

// split returns the alphabet of prog. With context, characters that differ in what
// they say about their neighbours are not alike.
func split(prog *syntax.Prog, context bool) alphabet {
	// One instruction for each set of characters; repetitions share theirs.
	var sets []*syntax.Inst
	known := map[set]bool{}
	from := []rune{0, '\n', '\n' + 1, '0', '9' + 1, 'A', 'Z' + 1, '_', '_' + 1, 'a', 'z' + 1}
	for i := range prog.Inst {
		inst := &prog.Inst[i]
		switch inst.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		default:
			continue
		}
		if len(inst.Rune) == 0 || known[set{&inst.Rune[0], len(inst.Rune), inst.Arg}] {
			continue
		}
		known[set{&inst.Rune[0], len(inst.Rune), inst.Arg}] = true
		sets = append(sets, inst)
		if len(inst.Rune) == 1 {
			r := inst.Rune[0]
			from = append(from, r, r+1)
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				from = append(from, f, f+1)
			}
			continue
		}
		for j := 0; j+1 < len(inst.Rune); j += 2 {
			from = append(from, inst.Rune[j], inst.Rune[j+1]+1)
		}
	}
	slices.Sort(from)
	a := alphabet{from: slices.Compact(from)}
	classes := map[string]uint16{}
	sign := make([]byte, len(sets)+1)
	for _, r := range a.from {
		for i, inst := range sets {
			sign[i] = bit(inst.MatchRune(r))
		}
		sign[len(sets)] = 0
		if context {
			sign[len(sets)] = bit(syntax.IsWordChar(r)) | bit(r == '\n')<<1
		}
		class, ok := classes[string(sign)]
		if !ok {
			class = uint16(len(classes))
			classes[string(sign)] = class
			a.sample = append(a.sample, r)
		}
		a.of = append(a.of, class)
	}
	for ch := range a.ascii {
		a.ascii[ch] = uint16(a.class(rune(ch)))
	}
	return a
}

// set tells sets of characters apart by where they stand.
type set struct {
	first *rune
	n     int
	arg   uint32
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
