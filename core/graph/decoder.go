package graph

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder turns document nodes into values and collects every finding on the
// way. Paths name places such as nodes.retrieve.timeout and edges[2].when.
type decoder struct {
	fs  Findings
	pos positions
}

// field decodes the value of one key.
type field func(n *yaml.Node, path string)

// fields are the keys that a mapping may have, by name.
type fields map[string]field

func (d *decoder) errorf(n *yaml.Node, path, hint, format string, args ...any) {
	d.fs = append(d.fs, Finding{Severity: SeverityError, Path: path, Line: n.Line, Column: n.Column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// survey records the position of everything below n and reports what no part of
// a document may hold: aliases, anchors, foreign tags, keys that are not strings
// or appear twice, and too deep nesting. It returns false when the depth makes
// decoding pointless.
func (d *decoder) survey(n *yaml.Node, path string, depth int) bool {
	d.pos[path] = position{n.Line, n.Column}
	if depth > MaxDepth {
		d.errorf(n, path, "", "nested deeper than %d levels", MaxDepth)
		return false
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.errorf(n, path, "write the value out in each place", "anchors and aliases are not allowed")
		return true
	}
	switch n.ShortTag() {
	case "!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
	default:
		d.errorf(n, path, "remove the tag", "tag %s is not allowed", n.ShortTag())
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			if !d.survey(c, index(path, i), depth+1) {
				return false
			}
		}
	case yaml.MappingNode:
		seen := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if k.Kind != yaml.ScalarNode || k.Anchor != "" {
				d.errorf(k, path, "write a plain word as the key", "a key is a %s, want a string", typeName(k))
				continue
			}
			p := join(path, k.Value)
			if line, twice := seen[k.Value]; twice {
				d.errorf(k, p, "remove one of them", "key %q appears twice, first on line %d", k.Value, line)
			}
			seen[k.Value] = k.Line
			if !d.survey(v, p, depth+1) {
				return false
			}
		}
	}
	return true
}

// object decodes a mapping. Unknown keys are findings; keys in unserved are
// known to the format but not served by this version.
func (d *decoder) object(n *yaml.Node, path string, known fields, unserved ...string) bool {
	if !d.isKind(n, path, yaml.MappingNode, "a mapping") {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			continue
		}
		p := join(path, k.Value)
		if f, ok := known[k.Value]; ok {
			f(v, p)
			continue
		}
		if slices.Contains(unserved, k.Value) {
			d.errorf(k, p, "remove the key", "%q is not supported by this version", k.Value)
			continue
		}
		names := make([]string, 0, len(known))
		for name := range known {
			names = append(names, name)
		}
		slices.Sort(names)
		hint := "known keys: " + strings.Join(names, ", ")
		if near := nearest(k.Value, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.errorf(k, p, hint, "unknown key %q", k.Value)
	}
	return true
}

// require reports the keys that a mapping lacks.
func (d *decoder) require(n *yaml.Node, path string, keys ...string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, want := range keys {
		if lookup(n, want) == nil {
			d.errorf(n, join(path, want), fmt.Sprintf("add %q", want), "key %q is missing", want)
		}
	}
}

// lookup returns the value of a key, or nil.
func lookup(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// entries calls f for each key of a mapping whose keys are the author's.
func (d *decoder) entries(n *yaml.Node, path string, f func(key, v *yaml.Node, path string)) {
	if !d.isKind(n, path, yaml.MappingNode, "a mapping") {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode {
			f(k, n.Content[i+1], join(path, k.Value))
		}
	}
}

func (d *decoder) items(n *yaml.Node, path string, f field) {
	if !d.isKind(n, path, yaml.SequenceNode, "a list") {
		return
	}
	for i, c := range n.Content {
		f(c, index(path, i))
	}
}

func (d *decoder) isKind(n *yaml.Node, path string, k yaml.Kind, want string) bool {
	if n.Kind == k {
		return true
	}
	d.wrongType(n, path, want)
	return false
}

// wrongType names the expected and the actual type. Aliases were reported.
func (d *decoder) wrongType(n *yaml.Node, path, want string) {
	if n.Kind == yaml.AliasNode {
		return
	}
	hint := ""
	switch tag := n.ShortTag(); {
	case tag == "!!null":
		hint = "give it a value or remove the key"
	case want == "a string" && n.Kind == yaml.ScalarNode:
		hint = fmt.Sprintf("quote it: %q", n.Value)
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && tag == "!!str":
		hint = "remove the quotes"
	}
	d.errorf(n, path, hint, "is %s, want %s", typeName(n), want)
}

// typeName describes the actual value of n, short enough for a message.
func typeName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	v := n.Value
	if len(v) > 40 {
		v = strings.ToValidUTF8(v[:37], "") + "..."
	}
	switch n.ShortTag() {
	case "!!int":
		return "the integer " + v
	case "!!float":
		return "the number " + v
	case "!!bool":
		return "the boolean " + v
	case "!!null":
		return "null"
	}
	return fmt.Sprintf("the string %q", v)
}

func (d *decoder) str(to *string) field {
	return func(n *yaml.Node, path string) {
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp":
			d.wrongType(n, path, "a string")
		default:
			*to = n.Value
		}
	}
}

// name decodes a string that must look like an identifier of the document.
func (d *decoder) name(to *string) field {
	return func(n *yaml.Node, path string) {
		before := len(d.fs)
		d.str(to)(n, path)
		if len(d.fs) == before && !validName.MatchString(*to) {
			d.errorf(n, path, nameHint, "%q is not a name", *to)
		}
	}
}

var validName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

const nameHint = "a name has up to 64 letters, digits, _ or -, and starts with a letter or _"

func (d *decoder) boolean(to *bool) field {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.wrongType(n, path, "true or false")
			return
		}
		n.Decode(to)
	}
}

// number decodes any finite number.
func (d *decoder) number(to *float64) field {
	return func(n *yaml.Node, path string) {
		text, ok := numberText(n)
		if !ok {
			d.wrongType(n, path, "a number")
			return
		}
		*to, _ = strconv.ParseFloat(text, 64)
	}
}

func (d *decoder) numberPtr(to **float64) field {
	return func(n *yaml.Node, path string) {
		before, v := len(d.fs), 0.0
		d.number(&v)(n, path)
		if len(d.fs) == before {
			*to = &v
		}
	}
}

// atLeast decodes an integer that is not below least.
func (d *decoder) atLeast(least int, to *int) field {
	return func(n *yaml.Node, path string) {
		text, ok := numberText(n)
		v, err := strconv.Atoi(text)
		switch {
		case !ok || err != nil:
			d.wrongType(n, path, "an integer")
		case v < least:
			d.errorf(n, path, "", "is %d, must be at least %d", v, least)
		default:
			*to = v
		}
	}
}

func (d *decoder) duration(to *Duration) field {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode {
			d.wrongType(n, path, durationWant)
			return
		}
		var err error
		if text, ok := numberText(n); ok {
			*to, err = parseDuration(text)
		} else if n.ShortTag() == "!!str" {
			*to, err = parseDuration(n.Value)
		} else {
			d.wrongType(n, path, durationWant)
			return
		}
		if err != nil {
			d.errorf(n, path, "write 5s, 250ms or a bare number of seconds", "%q is not a duration: %v", n.Value, err)
		}
	}
}

const durationWant = "a duration such as 5s, 250ms or a number of seconds"

// words decodes a list of strings, each at most once.
func (d *decoder) words(to *[]string) field {
	return func(n *yaml.Node, path string) {
		d.items(n, path, func(n *yaml.Node, path string) {
			var s string
			before := len(d.fs)
			d.str(&s)(n, path)
			if len(d.fs) > before {
				return
			}
			if slices.Contains(*to, s) {
				d.errorf(n, path, "remove one of them", "%q appears twice", s)
				return
			}
			*to = append(*to, s)
		})
	}
}

// json decodes any value to canonical JSON.
func (d *decoder) json(to *json.RawMessage) field {
	return func(n *yaml.Node, path string) {
		before := len(d.fs)
		if v := d.any(n, path); len(d.fs) == before {
			*to = appendCanonical(nil, v)
		}
	}
}

// jsonObject decodes a mapping to canonical JSON.
func (d *decoder) jsonObject(to *json.RawMessage) field {
	return func(n *yaml.Node, path string) {
		if d.isKind(n, path, yaml.MappingNode, "a mapping") {
			d.json(to)(n, path)
		}
	}
}

func (d *decoder) any(n *yaml.Node, path string) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i].Value
			m[k] = d.any(n.Content[i+1], join(path, k))
		}
		return m
	case yaml.SequenceNode:
		s := make([]any, len(n.Content))
		for i, c := range n.Content {
			s[i] = d.any(c, index(path, i))
		}
		return s
	case yaml.ScalarNode:
	default:
		return nil
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		n.Decode(&b)
		return b
	case "!!int", "!!float":
		text, ok := numberText(n)
		if !ok {
			d.errorf(n, path, "JSON has no such number", "%s is not a finite number", n.Value)
		}
		return json.Number(text)
	}
	return n.Value
}

// numberText returns the JSON spelling of a finite numeric scalar.
func numberText(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		return "", false
	}
	switch n.ShortTag() {
	case "!!int":
		if v, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return strconv.FormatInt(v, 10), true
		}
		var v any
		if n.Decode(&v) != nil {
			return "", false
		}
		switch v := v.(type) {
		case int:
			return strconv.Itoa(v), true
		case int64:
			return strconv.FormatInt(v, 10), true
		case uint64:
			return canonicalNumber(strconv.FormatUint(v, 10)), true
		}
	case "!!float":
	default:
		return "", false
	}
	var f float64
	if n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return "", false
	}
	return formatFloat(f), true
}

// parseDuration reads a Go duration or a bare number of seconds, from 0 to a
// year.
func parseDuration(s string) (Duration, error) {
	if sec, err := strconv.ParseFloat(s, 64); err == nil {
		if !(sec >= 0 && sec <= 365*24*3600) {
			return 0, fmt.Errorf("it must lie between 0 and a year")
		}
		return Duration(math.Round(sec * float64(time.Second))), nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("no unit or an unknown one")
	}
	if v < 0 || v > 365*24*time.Hour {
		return 0, fmt.Errorf("it must lie between 0 and a year")
	}
	return Duration(v), nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
