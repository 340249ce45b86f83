package split

import (
	"bytes"
	"unicode/utf8"
)

// unit returns the length of the first unit of a text that is not empty, with
// what separates it from the next one.
type unit func(text []byte) int

var units = map[string]unit{
	"items":      nil,
	"lines":      line,
	"paragraphs": paragraph,
	"sentences":  sentence,
	"words":      word,
	"characters": character,
}

func line(text []byte) int {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return i + 1
	}
	return len(text)
}

// paragraph ends at an empty line.
func paragraph(text []byte) int {
	for from := 0; ; {
		n := line(text[from:])
		from += n
		if from == len(text) || len(bytes.TrimSpace(text[from-n:from])) == 0 {
			return from
		}
	}
}

// sentence ends at a full stop, a question or exclamation mark with what closes
// quotes and brackets behind it and then space, or at an empty line. The full
// stop of a single letter ("e.g.", "J. Doe") ends none.
func sentence(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\n':
			if end := i + 1 + len(text[i+1:]) - len(bytes.TrimLeft(text[i+1:], " \t\r")); end < len(text) && text[end] == '\n' {
				return end + 1
			}
		case '.', '!', '?':
			if text[i] == '.' && initial(text[:i]) {
				continue
			}
			end := i + 1
			for end < len(text) && bytes.IndexByte([]byte(".!?\"')]"), text[end]) >= 0 {
				end++
			}
			if end == len(text) || isSpace(text[end]) {
				return end
			}
			i = end - 1
		}
	}
	return len(text)
}

// initial reports whether text ends with a letter that stands alone.
func initial(text []byte) bool {
	n := len(text)
	if n == 0 || text[n-1]|0x20 < 'a' || text[n-1]|0x20 > 'z' {
		return false
	}
	return n == 1 || isSpace(text[n-2]) || text[n-2] == '.' || text[n-2] == '('
}

func word(text []byte) int {
	i := 0
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	for i < len(text) && !isSpace(text[i]) {
		i++
	}
	return i
}

func character(text []byte) int {
	_, n := utf8.DecodeRune(text)
	return n
}

func isSpace(ch byte) bool { return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r' }
