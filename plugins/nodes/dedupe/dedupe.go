// Package dedupe drops the items of a list that say what another one says
// already.
package dedupe

import (
	"slices"

	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/plugins/nodes/lists"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// maxNear bounds the items that are compared with each other by shingles.
const maxNear = 1000

type deduper struct {
	host       *node.Host
	items, key string
	near, last bool
	threshold  float64

	edit lists.Editor
	out  []node.Value

	hash hasher
	keys []key
	seen map[uint64]int // by hash the key seen last, its index + 1

	shingles shingler
}

// key is the key of an item that stays. Before is the index + 1 of another one
// with the same hash.
type key struct {
	value  node.Value
	before int
}

// New returns a node that returns its input with a list in it freed of
// repetitions. Two items repeat each other when the values at their key are
// equal, or when their texts are near by shingles. Items without a key stay.
func New() node.Node { return &deduper{seen: map[uint64]int{}} }

func (d *deduper) Configure(c *node.Config) error {
	d.host = c.Host()
	d.items = c.String("items", "items")
	d.key = c.String("key", ".")
	d.near = c.String("mode", "exact", "exact", "near") == "near"
	d.threshold = c.Float("threshold", 0.8, 0.05, 1)
	d.shingles.size = c.Int("shingle", 2, 1, 10)
	d.last = c.String("keep", "first", "first", "last") == "last"
	return nil
}

func (d *deduper) Process(in []byte, out *node.Writer) error {
	if err := d.edit.Read(in, d.items); err != nil {
		return err
	}
	if d.near && len(d.edit.Items) > maxNear {
		return fault.New(fault.Limit, d.items, "%d items to compare with each other, limit %d", len(d.edit.Items), maxNear).
			WithHint("split the list, or use the mode exact")
	}
	if d.last {
		slices.Reverse(d.edit.Items)
	}
	clear(d.seen)
	d.shingles.reset()
	d.keys, d.out = d.keys[:0], d.out[:0]
	for _, v := range d.edit.Items {
		k := v.Path(d.key)
		switch {
		case k.Kind() == node.Missing:
		case d.near && d.shingles.near(k, d.threshold), !d.near && d.equal(k):
			continue
		}
		d.out = append(d.out, v)
	}
	if d.last {
		slices.Reverse(d.out)
	}
	d.host.SpanInt("dedupe.dropped", int64(len(d.edit.Items)-len(d.out)))
	d.edit.Write(out, d.out)
	return nil
}

// equal reports whether an equal key was seen, and remembers k if not.
func (d *deduper) equal(k node.Value) bool {
	h := d.hash.value(k)
	before := d.seen[h]
	for i := before; i > 0; i = d.keys[i-1].before {
		if exact.Equal(d.keys[i-1].value, k) {
			return true
		}
	}
	d.keys = append(d.keys, key{k, before})
	d.seen[h] = len(d.keys)
	return false
}
