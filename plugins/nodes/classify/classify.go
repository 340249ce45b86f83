// Package classify gives a text the labels that its words and phrases speak for.
package classify

import (
	"slices"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type classifier struct {
	field     string
	fallback  string
	threshold float64
	margin    float64
	rules     rules
	source    []byte // the settings that rules were made of
	text      []byte
	scores    []score // one for each label, in the order of the rules
	ranked    []score
}

type score struct {
	label string
	score float64
}

// New returns a node that turns {text} into {label, score, labels}: all labels
// that reach the threshold, best first, and the first of them, unless the second
// is nearer than the margin. The score of a label is the sum of the weights of
// the rules that match.
func New() node.Node { return &classifier{} }

func (k *classifier) Configure(c *node.Config) error {
	k.field = c.String("field", "text")
	k.fallback = c.String("fallback", "other")
	k.threshold = c.Float("threshold", 1, -1000, 1000)
	k.margin = c.Float("margin", 0, 0, 1000)
	list := c.Value("rules")
	if k.source != nil && string(k.source) == string(list.Raw()) {
		return nil
	}
	made, found := compile(list)
	for _, f := range found {
		c.Refuse("rules"+f.path, "%s", f.what)
	}
	if len(found) > 0 {
		k.source = nil
		return nil
	}
	k.rules, k.source = made, append([]byte{}, list.Raw()...)
	return nil
}

func (k *classifier) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	v := doc.Path(k.field)
	if v.Kind() != node.String {
		return fault.New(fault.Invalid, k.field, "is %s, want a string", v.Kind())
	}
	k.text = v.AppendText(k.text[:0])
	k.scores = k.scores[:0]
	for _, label := range k.rules.labels {
		k.scores = append(k.scores, score{label: label})
	}
	k.rules.match(k.text)
	for i, r := range k.rules.list {
		if k.rules.hit[i] {
			k.scores[r.label].score += r.weight
		}
	}
	k.ranked = k.ranked[:0]
	for _, s := range k.scores {
		if s.score >= k.threshold {
			k.ranked = append(k.ranked, s)
		}
	}
	slices.SortStableFunc(k.ranked, func(a, b score) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	best := score{label: k.fallback}
	if r := k.ranked; len(r) == 1 || len(r) > 1 && r[0].score-r[1].score >= k.margin {
		best = r[0]
	}
	out.Object()
	out.Key("label").String(best.label)
	out.Key("score").Fixed(best.score, 6)
	out.Key("labels").Array()
	for _, s := range k.ranked {
		out.Object()
		out.Key("label").String(s.label)
		out.Key("score").Fixed(s.score, 6)
		out.End()
	}
	out.End()
	out.End()
	return nil
}
