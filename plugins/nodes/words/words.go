// Package words cuts text about programs into words and reduces words to stems.
// Index and query use the same cut, so what was written one way is found the
// other way. Everything is meant for English and for identifiers.
package words

import (
	"iter"
	"unicode"
	"unicode/utf8"
)

// Cutter cuts text into lower-case words. The zero Cutter is ready to use. Not
// safe for concurrent use.
type Cutter struct{ buf []byte }

// Runs yields the runs of letters and digits of text, lower-cased: "ReadAll(r)"
// gives readall, r. A word is valid until the next one.
func (c *Cutter) Runs(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; ; {
			for i < len(text) && separator[text[i]] {
				i++
			}
			from := i
			c.buf = c.buf[:0]
			for n := 8; n == 8; i += n {
				w := load(text, i)
				letters := letters(w)
				n = first(^(letters | digits(w)))
				c.put(w|letters>>2, n)
			}
			if i < len(text) && text[i] >= utf8.RuneSelf { // perhaps a part of the run
				from, i = nextRun(text, from)
				c.lower(text[from:i])
			}
			if from == i || !yield(c.buf) {
				return
			}
		}
	}
}

// separator tells the ASCII characters that are neither letters nor digits.
var separator = func() (t [256]bool) {
	for ch, class := range ascii {
		t[ch] = class == other
	}
	return t
}()

// plain puts the first run at or behind i into the cutter's memory if it is of
// ASCII letters, all small but perhaps the first one, as most are: then it is one
// part. It returns where the run begins and ends; where it begins, twice, if it is
// another one.
func (c *Cutter) plain(text []byte, i int) (from, to int) {
	for i < len(text) && separator[text[i]] {
		i++
	}
	from = i
	c.buf = c.buf[:0]
	small := uint64(1 << 7) // marks bytes that may be capitals
	for n := 8; n == 8; i += n {
		w := load(text, i)
		letters := letters(w)
		n = first(^letters & highs)
		capital := letters &^ (w << 2) &^ small
		if first(capital) < n {
			return from, from
		}
		c.put(w|letters>>2, n)
		small = 0
	}
	if i < len(text) && !separator[text[i]] {
		return from, from
	}
	return from, i
}

// Parts yields the runs of text cut further where an identifier changes its
// case or between letters and digits: "HTTPServer utf8" gives http, server, utf,
// 8. A word is valid until the next one.
func (c *Cutter) Parts(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; ; {
			from, end := c.plain(text, i)
			if end > from {
				if !yield(c.buf) {
					return
				}
				i = end
				continue
			}
			from, to := nextRun(text, from)
			if from == to {
				return
			}
			for i = from; i < to; {
				end := partEnd(text[:to], i)
				if !yield(c.lower(text[i:end])) {
					return
				}
				i = end
			}
		}
	}
}

// Names yields the parts of text and each run that has several of them as a
// whole: "DeepEqual" gives deep, equal, deepequal. A word is valid until the
// next one.
func (c *Cutter) Names(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; ; {
			from, end := c.plain(text, i)
			if end > from {
				if !yield(c.buf) {
					return
				}
				i = end
				continue
			}
			from, to := nextRun(text, from)
			if from == to {
				return
			}
			parts := 0
			for i = from; i < to; parts++ {
				end := partEnd(text[:to], i)
				if !yield(c.lower(text[i:end])) {
					return
				}
				i = end
			}
			if parts > 1 && !yield(c.lower(text[from:to])) {
				return
			}
		}
	}
}

// classes of a character.
const (
	other = iota
	lower
	upper
	digit
)

var ascii = func() (t [utf8.RuneSelf]uint8) {
	for ch := range t {
		switch {
		case ch >= 'a' && ch <= 'z':
			t[ch] = lower
		case ch >= 'A' && ch <= 'Z':
			t[ch] = upper
		case ch >= '0' && ch <= '9':
			t[ch] = digit
		}
	}
	return t
}()

// class returns the class of the character at text[i] and its length.
func class(text []byte, i int) (class uint8, n int) {
	if ch := text[i]; ch < utf8.RuneSelf {
		return ascii[ch], 1
	}
	return wide(text[i:])
}

// wide is class for the first character of text, one that is not ASCII.
func wide(text []byte) (class uint8, n int) {
	r, n := utf8.DecodeRune(text)
	switch {
	case unicode.IsUpper(r):
		return upper, n
	case unicode.IsLetter(r) || unicode.IsMark(r):
		return lower, n
	case unicode.IsDigit(r):
		return digit, n
	}
	return other, n
}

// nextRun returns where the first run at or behind i begins and ends, twice the
// end of text when there is none.
func nextRun(text []byte, i int) (from, to int) {
	for i < len(text) {
		c, n := class(text, i)
		if c != other {
			break
		}
		i += n
	}
	from = i
	for i < len(text) {
		if w := load(text, i); w&highs == 0 {
			n := first(^(letters(w) | digits(w)))
			if i += n; n < 8 {
				return from, i
			}
			continue
		}
		c, n := class(text, i)
		if c == other {
			break
		}
		i += n
	}
	return from, i
}

// partEnd returns where the part that begins at run[i] ends.
func partEnd(run []byte, i int) int {
	before, n := class(run, i)
	last := i // where the character before the current one begins
	for at := i + n; at < len(run); {
		c, n := class(run, at)
		if c != before {
			switch {
			case c == digit || before == digit || before == lower:
				return at
			case last > i:
				return last // the capital before belongs to this word
			}
		}
		before, last = c, at
		at += n
	}
	return len(run)
}

// lower returns w in lower case, in the cutter's memory.
func (c *Cutter) lower(w []byte) []byte {
	c.buf = c.buf[:0]
	for i := 0; i < len(w); i += 8 {
		x := load(w, i)
		if x&highs != 0 {
			for _, r := range string(w[i:]) {
				c.buf = utf8.AppendRune(c.buf, unicode.ToLower(r))
			}
			return c.buf
		}
		c.put(x|letters(x)>>2, min(8, len(w)-i))
	}
	return c.buf
}

// FirstSentence returns the length of the first sentence of text: up to and with
// a full stop followed by space or the end, or up to an empty line. The full
// stops of "e.g." and "i.e." do not count.
func FirstSentence(text []byte) int {
	for i, ch := range text {
		switch ch {
		case '.':
			if i+1 < len(text) && text[i+1] != ' ' && text[i+1] != '\n' {
				continue
			}
			if i >= 3 && text[i-2] == '.' && (text[i-1] == 'g' && text[i-3] == 'e' || text[i-1] == 'e' && text[i-3] == 'i') {
				continue
			}
			return i + 1
		case '\n':
			if i+1 < len(text) && text[i+1] == '\n' {
				return i
			}
		}
	}
	return len(text)
}
