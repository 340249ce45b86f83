package transform

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/node"
)

// expression is a path from the input or an element, and functions.
type expression struct {
	root  byte // '$' or '@'
	path  path
	calls []call
	text  string // as it was written
	items bool   // root is '@'
}

// path leads down from a value.
type path []step

// step is a name, an index, or every element.
type step struct {
	name  string
	index int
	isInt bool // name is a number, too
	every bool
}

// call is a function with its arguments.
type call struct {
	function *function
	args     []argument
}

// argument is a literal, and as a word also a path or an operator.
type argument struct {
	value node.Value // JSON of a literal, or of a word as a string
	text  string     // of strings and words
	path  path       // of words
}

func number(i int) string { return strconv.Itoa(i) }

// parse returns the expression written in text.
func parse(text string) (*expression, error) {
	p := &parser{text: text}
	e := &expression{root: text[0], text: text, items: text[0] == '@'}
	p.at = 1
	var err error
	if e.path, err = p.steps(); err != nil {
		return nil, err
	}
	for p.space(); p.at < len(text); p.space() {
		if text[p.at] != '|' {
			return nil, p.wrong("want a step of the path or a |")
		}
		p.at++
		c, err := p.call()
		if err != nil {
			return nil, err
		}
		e.calls = append(e.calls, c)
	}
	return e, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) wrong(format string, args ...any) error {
	return fmt.Errorf("%s at character %d of %q", fmt.Sprintf(format, args...), p.at+1, p.text)
}

func (p *parser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

// steps reads .name.0.*."any name".
func (p *parser) steps() (path, error) {
	var steps path
	for p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		s, err := p.step()
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (p *parser) step() (step, error) {
	if p.at < len(p.text) && p.text[p.at] == '"' {
		name, err := p.quoted()
		return step{name: name}, err
	}
	name := p.word(" .|")
	switch {
	case name == "":
		return step{}, p.wrong("want a name")
	case name == "*":
		return step{every: true}, nil
	}
	i, err := strconv.Atoi(name)
	return step{name: name, index: i, isInt: err == nil}, nil
}

// word reads up to one of the characters in ends.
func (p *parser) word(ends string) string {
	from := p.at
	if i := strings.IndexAny(p.text[from:], ends); i >= 0 {
		p.at = from + i
	} else {
		p.at = len(p.text)
	}
	return p.text[from:p.at]
}

// quoted reads a string as JSON writes it.
func (p *parser) quoted() (string, error) {
	end := p.at + 1
	for end < len(p.text) && p.text[end] != '"' {
		if p.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.text) {
		return "", p.wrong("text without an end")
	}
	v, err := node.Parse([]byte(p.text[p.at : end+1]))
	if err != nil {
		return "", p.wrong("%v", err)
	}
	p.at = end + 1
	return v.Str(), nil
}

// call reads the name of a function and its arguments.
func (p *parser) call() (call, error) {
	p.space()
	from := p.at
	name := p.word(" |")
	f, ok := functions[name]
	if !ok {
		p.at = from
		return call{}, p.wrong("no function %q, there are %s", name, strings.Join(functionNames(), ", "))
	}
	c := call{function: f}
	for p.space(); p.at < len(p.text) && p.text[p.at] != '|'; p.space() {
		a, err := p.argument()
		if err != nil {
			return call{}, err
		}
		c.args = append(c.args, a)
	}
	if n := len(c.args); n < f.least || f.most >= 0 && n > f.most {
		p.at = from
		return call{}, p.wrong("%s takes %s, not %d arguments", name, f.takes, n)
	}
	if f.check != nil {
		if err := f.check(c.args); err != nil {
			p.at = from
			return call{}, p.wrong("%s takes %s: %v", name, f.takes, err)
		}
	}
	return c, nil
}

func (p *parser) argument() (a argument, err error) {
	var w node.Writer
	if p.text[p.at] == '"' {
		if a.text, err = p.quoted(); err != nil {
			return a, err
		}
		w.String(a.text)
		a.value, err = node.Parse(w.Bytes())
		return a, err
	}
	from := p.at
	a.text = p.word(" |\"")
	if a.value, err = node.Parse([]byte(a.text)); err == nil {
		return a, nil // a number, true, false or null
	}
	w.String(a.text)
	if a.value, err = node.Parse(w.Bytes()); err != nil {
		return a, err
	}
	// As a path a word begins without a point; "." is the value itself.
	word := parser{text: a.text}
	if a.text != "." {
		s, err := word.step()
		if err != nil {
			return a, nil // no path: an operator, say
		}
		rest, err := word.steps()
		if err != nil || word.at < len(word.text) {
			p.at = from
			return a, p.wrong("%q is no path", a.text)
		}
		a.path = append(path{s}, rest...)
	}
	return a, nil
}
