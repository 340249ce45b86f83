// Command faulty is a module of node types that misbehave, each in one way, for
// tests of hosts. It is never part of a product.
package main

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

var types = map[string]func() node.Node{
	"awaits":    func() node.Node { return &awaits{} },
	"badjson":   func() node.Node { return &badJSON{} },
	"calls":     func() node.Node { return &calls{} },
	"eatmemory": func() node.Node { return &eatMemory{} },
	"failing":   func() node.Node { return &failing{} },
	"loop":      func() node.Node { return &loop{} },
	"recurse":   func() node.Node { return &recurse{} },
	"spin":      func() node.Node { return &spin{} },
	"trap":      func() node.Node { return &trap{} },
}

func init() { node.Register(types) }

func main() {}

// plain is a node without settings.
type plain struct{}

func (plain) Configure(*node.Config) error { return nil }

// trap panics.
type trap struct{ plain }

func (trap) Process([]byte, *node.Writer) error { panic("trapped on purpose") }

// sink keeps the compiler from removing work without a use.
var sink uint64

// loop never returns and makes no host call.
type loop struct{ plain }

func (loop) Process([]byte, *node.Writer) error {
	for {
		sink++
	}
}

// recurse computes by recursion alone, without any loop: for about as long as
// the universe lasts, or, when deep, until the stack is used up.
type recurse struct{ deep bool }

func (r *recurse) Configure(c *node.Config) error {
	r.deep = c.Bool("deep", false)
	return nil
}

func (r *recurse) Process(_ []byte, out *node.Writer) error {
	if r.deep {
		out.Int(int64(down(1)))
	} else {
		out.Int(int64(fib(120)))
	}
	return nil
}

//go:noinline
func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

//go:noinline
func down(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	return down(n+1) + n
}

// eatMemory allocates until it is refused.
type eatMemory struct {
	plain
	eaten [][]byte
}

func (e *eatMemory) Process([]byte, *node.Writer) error {
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		e.eaten = append(e.eaten, b)
	}
}

// badJSON writes what is no JSON: a word, half an object, or bytes that are no
// UTF-8.
type badJSON struct{ text string }

func (b *badJSON) Configure(c *node.Config) error {
	b.text = map[string]string{"word": "hello", "half": `{"a":`, "utf8": "\"\xff\""}[c.String("form", "word", "word", "half", "utf8")]
	return nil
}

func (b *badJSON) Process(_ []byte, out *node.Writer) error {
	out.Raw([]byte(b.text))
	return nil
}

// failing fails with a kind and message of its settings.
type failing struct {
	kind          fault.Kind
	message, hint string
}

func (f *failing) Configure(c *node.Config) error {
	kind, ok := fault.ParseKind(c.String("kind", string(fault.Rejected)))
	if !ok {
		c.Refuse("kind", "is no kind of fault")
	}
	f.kind, f.message, f.hint = kind, c.String("message", "failed on purpose"), c.String("hint", "")
	return nil
}

func (f *failing) Process([]byte, *node.Writer) error {
	e := fault.New(f.kind, "", "%s", f.message)
	e.Hint = f.hint
	return e
}

// spin works for a number of thousand steps of about a nanosecond each and then
// returns its input.
type spin struct{ kilosteps int }

func (s *spin) Configure(c *node.Config) error {
	s.kilosteps = c.Int("kilosteps", 1000, 0, 1<<30)
	return nil
}

func (s *spin) Process(in []byte, out *node.Writer) error {
	x := sink | 1
	for range s.kilosteps * 1000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink = x
	out.Raw(in)
	return nil
}
