// Package pattern tells whether a regular expression matches a text, and nothing
// more: without captures and without the place of the match it is done in one look
// at each character. In WASM that takes about 10 us for 1 KB, where the package
// regexp takes more than 300.
//
// A Pattern is a deterministic automaton whose states are made when a text first
// leads to them. Source: Thompson 1968, Regular expression search algorithm, CACM
// 11:6; for states made on the way, Cox 2010, Regular expression matching in the
// wild.
package pattern

import (
	"bytes"
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// Pattern is a compiled expression. Not safe for concurrent use.
type Pattern struct {
	prog     *syntax.Prog
	literal  bool // it is nothing but text
	text     []byte
	anchored bool // matches begin at the start of the text only
	context  bool // it asks what stands beside a place: ^ $ \b and the like
	alphabet alphabet

	// The automaton: states[s] goes with the class c of characters to
	// next[s*width+c]; the last class is the end of the text. State 0 is none.
	width  int
	next   []int32
	states []state
	index  map[string]int32 // states by what they are

	// For the state in work, by instruction.
	seen, to []bool
	stack    []uint32
	key      []byte
}

// state is the instructions that may come next, in ascending order, and what stood
// before them.
type state struct {
	pcs    []uint32
	before rune // as syntax.EmptyOpContext takes it; one for all that it takes alike
}

// What stands in next besides states: a match, no match whatever follows, and 0
// for a transition that nobody asked for yet.
const (
	matched = -1
	dead    = -2
)

// maxTable bounds next, 4 bytes each. A pattern that needs more states than fit
// forgets them all and goes on.
const maxTable = 1 << 14

// Compile returns the pattern written in expr, in the syntax of the package regexp
// (RE2). Errors are those of regexp/syntax.
func Compile(expr string) (*Pattern, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	p := &Pattern{prog: prog, anchored: prog.StartCond()&syntax.EmptyBeginText != 0}
	if text, all := prog.Prefix(); all {
		p.literal, p.text = true, []byte(text)
		return p, nil
	}
	p.context = slices.ContainsFunc(prog.Inst, func(i syntax.Inst) bool { return i.Op == syntax.InstEmptyWidth })
	p.alphabet = split(prog, p.context)
	p.width = len(p.alphabet.sample) + 1
	p.seen, p.to = make([]bool, len(prog.Inst)), make([]bool, len(prog.Inst))
	p.forget()
	return p, nil
}

// forget drops all states but the first.
func (p *Pattern) forget() {
	p.states = append(p.states[:0], state{})
	p.next = append(p.next[:0], make([]int32, p.width)...)
	p.index = map[string]int32{}
	clear(p.to)
	p.to[p.prog.Start] = true
	p.add(-1)
}

// Match reports whether the expression matches somewhere in text. Time is linear in
// the length of text.
func (p *Pattern) Match(text []byte) bool {
	if p.literal {
		return bytes.Contains(text, p.text)
	}
	s := 1
	for i := 0; i < len(text); {
		class, n := 0, 1
		if ch := text[i]; ch < utf8.RuneSelf {
			class = int(p.alphabet.ascii[ch])
		} else {
			var r rune
			r, n = utf8.DecodeRune(text[i:])
			class = p.alphabet.class(r)
		}
		to := p.next[s*p.width+class]
		if to <= 0 {
			if to == 0 {
				to = p.step(s, class)
			}
			if to < 0 {
				return to == matched
			}
		}
		s = int(to)
		i += n
	}
	to := p.next[(s+1)*p.width-1]
	if to == 0 {
		to = p.step(s, p.width-1)
	}
	return to == matched
}

// step finds where state s goes with a class of characters.
func (p *Pattern) step(s, class int) int32 {
	from := p.states[s]
	r := rune(-1)
	if class < p.width-1 {
		r = p.alphabet.sample[class]
	}
	to := p.follow(from, r)
	if to == 0 {
		if len(p.next)+p.width > maxTable && len(p.states) > 2 {
			found := slices.Clone(p.to)
			p.forget()
			copy(p.to, found)
			return p.add(p.neighbour(r))
		}
		to = p.add(p.neighbour(r))
	}
	p.next[s*p.width+class] = to
	return to
}

// follow walks from the instructions of a state to those that read r and marks in
// to what comes behind them. It returns matched, dead, or 0 for a state to be made.
func (p *Pattern) follow(from state, r rune) int32 {
	flags := syntax.EmptyOpContext(from.before, r)
	clear(p.seen)
	clear(p.to)
	alive := false
	p.stack = append(p.stack[:0], from.pcs...)
	for len(p.stack) > 0 {
		pc := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		if p.seen[pc] {
			continue
		}
		p.seen[pc] = true
		switch i := &p.prog.Inst[pc]; i.Op {
		case syntax.InstMatch:
			return matched
		case syntax.InstAlt, syntax.InstAltMatch:
			p.stack = append(p.stack, i.Out, i.Arg)
		case syntax.InstCapture, syntax.InstNop:
			p.stack = append(p.stack, i.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(i.Arg)&^flags == 0 {
				p.stack = append(p.stack, i.Out)
			}
		case syntax.InstFail:
		default:
			if r >= 0 && i.MatchRune(r) {
				p.to[i.Out], alive = true, true
			}
		}
	}
	if r >= 0 && !p.anchored {
		p.to[p.prog.Start], alive = true, true // a match may begin here, too
	}
	if !alive {
		return dead
	}
	return 0
}

// neighbour returns r, or a character that says the same to what comes behind it.
func (p *Pattern) neighbour(r rune) rune {
	switch {
	case !p.context:
		return -1
	case r == '\n':
		return r
	case syntax.IsWordChar(r):
		return 'a'
	}
	return ' '
}

// add returns the state of the instructions marked in to, a new one if there is
// none yet.
func (p *Pattern) add(before rune) int32 {
	st := state{before: before}
	p.key = binary.AppendVarint(p.key[:0], int64(before))
	for pc, in := range p.to {
		if in {
			p.key = binary.AppendUvarint(p.key, uint64(pc))
		}
	}
	if s, ok := p.index[string(p.key)]; ok {
		return s
	}
	for pc, in := range p.to {
		if in {
			st.pcs = append(st.pcs, uint32(pc))
		}
	}
	s := int32(len(p.states))
	p.index[string(p.key)] = s
	p.states = append(p.states, st)
	p.next = append(p.next, make([]int32, p.width)...)
	return s
}
