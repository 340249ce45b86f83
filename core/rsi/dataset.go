package rsi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Example is one input of a dataset.
type Example struct {
	ID       string          `json:"id"`
	Input    json.RawMessage `json:"input"`
	Expected json.RawMessage `json:"expected,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
}

// The tags that fix the split of a dataset. When any example carries one they
// decide alone, and examples with neither take no part.
const (
	TagScreen  = "screen"
	TagConfirm = "confirm"
)

// maxExample is the longest line of a dataset, in bytes.
const maxExample = 16 << 20

// ReadDataset returns the examples of a JSONL dataset, one object a line; blank
// lines are skipped and a missing id becomes the line's number. Invalid, with
// "path:line" and the remedy, when a line is not such an object, an id comes
// twice, a line is longer than 16 MiB, or there is no example at all.
func ReadDataset(r io.Reader, path string) ([]Example, error) {
	const hint = `each line is an object {"id": ..., "input": ..., "expected": ..., "tags": [...]}`
	var list []Example
	seen := map[string]int{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxExample)
	line := 0
	for sc.Scan() {
		line++
		at := fmt.Sprintf("%s:%d", path, line)
		text := bytes.TrimSpace(sc.Bytes())
		if len(text) == 0 {
			continue
		}
		var e Example
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return nil, fault.New(fault.Invalid, at, "not an example: %v", err).WithHint(hint)
		}
		if _, err := d.Token(); err != io.EOF {
			return nil, fault.New(fault.Invalid, at, "more than one value on the line").WithHint(hint)
		}
		if len(e.Input) == 0 {
			return nil, fault.New(fault.Invalid, at, "the example has no input").WithHint(hint)
		}
		if e.ID == "" {
			e.ID = fmt.Sprint(line)
		}
		if first := seen[e.ID]; first > 0 {
			return nil, fault.New(fault.Invalid, at, "id %q was used on line %d", e.ID, first).
				WithHint("give each example an id of its own")
		}
		seen[e.ID] = line
		list = append(list, e)
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("%s:%d", path, line+1), "the line is longer than %d bytes", maxExample)
	} else if err != nil {
		return nil, fault.Wrap("", path, err, "read dataset")
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Invalid, path, "the dataset is empty").WithHint(hint)
	}
	return list, nil
}

// The sizes of a split without tags.
const (
	screenShare = .4
	maxConfirm  = 200
	minConfirm  = 20 // the first look of an experiment
)

// split divides the dataset into SCREEN and CONFIRM, as indices, disjoint and
// each in a random order drawn from rng. Invalid when the policy asks for more
// than there is.
func split(data []Example, p graph.RSI, rng *rand.Rand) (screen, confirm []int, err error) {
	order := rng.Perm(len(data))
	tagged := false
	for _, i := range order {
		s, c := slices.Contains(data[i].Tags, TagScreen), slices.Contains(data[i].Tags, TagConfirm)
		if s && c {
			return nil, nil, fault.New(fault.Invalid, data[i].ID, "example is tagged both %s and %s", TagScreen, TagConfirm).
				WithHint("inputs that choose must not confirm: keep one of the tags")
		}
		if s {
			screen = append(screen, i)
		} else if c {
			confirm = append(confirm, i)
		}
		tagged = tagged || s || c
	}
	if !tagged {
		n := p.Screen
		if n == 0 {
			n = int(screenShare * float64(len(data)))
			if p.Confirm > 0 {
				n = min(n, max(len(data)-p.Confirm, 0))
			}
		}
		n = min(n, len(order))
		screen, confirm = order[:n], order[n:]
	}
	if err := atMost("rsi.screen", p.Screen, &screen); err != nil {
		return nil, nil, err
	}
	limit := p.Confirm
	if limit == 0 && !tagged {
		confirm = confirm[:min(len(confirm), maxConfirm)]
	}
	return screen, confirm, atMost("rsi.confirm", limit, &confirm)
}

// atMost cuts set to want; 0 keeps it whole.
func atMost(path string, want int, set *[]int) error {
	if want > len(*set) {
		return fault.New(fault.Invalid, path, "%d inputs are wanted, the dataset leaves %d", want, len(*set)).
			WithHint("lower %s or add examples to the dataset", path)
	}
	if want > 0 {
		*set = (*set)[:want]
	}
	return nil
}
