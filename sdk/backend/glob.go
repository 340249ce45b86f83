package backend

import "unicode/utf8"

// Glob reports whether the whole of s is as pattern says: * stands for any
// characters or none, ? for exactly one (a byte that is no UTF-8 is one), \ takes
// the character after it as it is, and all else is itself, case included.
func Glob(pattern, s string) bool {
	// The last star can take back one character after the other: no earlier one
	// has to be tried again.
	star, from := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p+1, i
			p++
			continue
		}
		if dp, di := element(pattern[p:], s[i:]); di > 0 {
			p, i = p+dp, i+di
			continue
		}
		if star < 0 {
			return false
		}
		from += width(s[from:])
		p, i = star, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// width returns how many bytes the first character of s has.
func width(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// element matches the first element of a pattern, no star, with the first character
// of s and returns the bytes of both, zeros when they do not match.
func element(pattern, s string) (dp, di int) {
	if pattern == "" {
		return 0, 0
	}
	switch {
	case pattern[0] == '?':
		return 1, width(s)
	case pattern[0] == '\\' && len(pattern) > 1:
		dp, pattern = 1, pattern[1:]
	}
	if pattern[0] != s[0] {
		return 0, 0
	}
	return dp + 1, 1
}
