package node

import (
	"errors"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Config is the settings of a node. Each reading method names a key with its
// default and bounds, as the manifest's schema does, and returns the default
// when the key is absent or its value is refused. What was refused, and keys
// that no method asked for, are reported together by the SDK after Configure
// returned: a node reads, and checks only what goes beyond one key.
type Config struct {
	host     *Host
	values   Value
	assets   []string
	asked    []string
	findings []error
}

// Host returns the node's way to the outside, to be kept by nodes that need it.
func (c *Config) Host() *Host { return c.host }

// Assets returns the names of the assets that the node may read, in the order
// of the graph. The slice must not be changed; the strings may be kept.
func (c *Config) Assets() []string { return c.assets }

// Refuse adds a finding about the value of key.
func (c *Config) Refuse(key, format string, args ...any) {
	c.findings = append(c.findings, fault.New(fault.Invalid, "config."+key, format, args...))
}

// get returns the value of key, Missing when it is absent, and remembers that
// the key is known.
func (c *Config) get(key string) Value {
	c.asked = append(c.asked, key)
	return c.values.Get(key)
}

// Value returns the value of key, Missing when it is absent. It is valid until
// Configure returns.
func (c *Config) Value(key string) Value { return c.get(key) }

// Float returns the number at key, in [lo, hi].
func (c *Config) Float(key string, def, lo, hi float64) float64 {
	v := c.get(key)
	if v.Kind() == Missing {
		return def
	}
	f, ok := v.Float()
	if !ok {
		c.Refuse(key, "is %s, want a number from %v to %v", v.Kind(), lo, hi)
		return def
	}
	if !(f >= lo && f <= hi) {
		c.Refuse(key, "is %v, want a number from %v to %v", f, lo, hi)
		return def
	}
	return f
}

// Int returns the integer at key, in [lo, hi].
func (c *Config) Int(key string, def, lo, hi int) int {
	v := c.get(key)
	if v.Kind() == Missing {
		return def
	}
	n, ok := v.Int()
	if !ok {
		c.Refuse(key, "is not an integer, want one from %d to %d", lo, hi)
		return def
	}
	if n < int64(lo) || n > int64(hi) {
		c.Refuse(key, "is %d, want an integer from %d to %d", n, lo, hi)
		return def
	}
	return int(n)
}

// Bool returns the boolean at key.
func (c *Config) Bool(key string, def bool) bool {
	v := c.get(key)
	if v.Kind() == Missing {
		return def
	}
	b, ok := v.Bool()
	if !ok {
		c.Refuse(key, "is %s, want true or false", v.Kind())
		return def
	}
	return b
}

// String returns the string at key; when choices are given, one of them.
func (c *Config) String(key, def string, choices ...string) string {
	v := c.get(key)
	if v.Kind() == Missing {
		return def
	}
	if v.Kind() != String {
		c.Refuse(key, "is %s, want a string", v.Kind())
		return def
	}
	s := v.Str()
	if len(choices) > 0 && !slices.Contains(choices, s) {
		c.Refuse(key, "is %q, want one of %s", s, strings.Join(choices, ", "))
		return def
	}
	return s
}

// err returns every finding joined, unknown keys included; nil without any.
func (c *Config) err() error {
	for k := range c.values.Fields() {
		if key := k.Str(); !slices.Contains(c.asked, key) {
			c.Refuse(key, "is unknown, known are %s", strings.Join(c.known(), ", "))
		}
	}
	return errors.Join(c.findings...)
}

func (c *Config) known() []string {
	known := slices.Clone(c.asked)
	slices.Sort(known)
	return slices.Compact(known)
}
