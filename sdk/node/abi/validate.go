package abi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Names and versions are checked by hand: this package is part of every guest,
// and regular expressions compiled at its start would cost each new instance.

// isName reports whether s is a lower-case letter and up to 63 more of a-z, 0-9,
// _ and -.
func isName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// isInterface reports whether s is a name, "/v" and a number from 1 to 9999.
func isInterface(s string) bool {
	name, v, ok := strings.Cut(s, "/v")
	return ok && isName(name) && v != "0" && len(v) <= 4 && isNumber(v)
}

// isVersion reports whether s is a semantic version (semver.org 2.0.0): three
// numbers, then perhaps a pre-release and a build of dotted identifiers.
func isVersion(s string) bool {
	s, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(s, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 || hasBuild && !areIdentifiers(build) || hasPre && !areIdentifiers(pre) {
		return false
	}
	return isNumber(parts[0]) && isNumber(parts[1]) && isNumber(parts[2])
}

// isNumber reports whether s is a decimal number without leading zeros.
func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == "" && (s == "0" || s[0] != '0')
}

func areIdentifiers(s string) bool {
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return false
		}
	}
	return true
}

// findings gathers what is wrong, each with its path.
type findings struct{ list []error }

func (f *findings) add(path, format string, args ...any) {
	f.list = append(f.list, fault.New(fault.Invalid, path, "%s", fmt.Sprintf(format, args...)))
}

// Validate returns every finding about m, joined (errors.Join): each an Invalid
// *fault.Error whose Path leads to the place, such as
// "nodes.2.config.properties.k1.x-tunable.min". Nil when there is none.
func (m *Manifest) Validate() error {
	var f findings
	if m.ABI != Version {
		f.add("abi", "version %d is not known, this host knows %d", m.ABI, Version)
	}
	if !isName(m.Name) {
		f.add("name", "%q is not a name: a lower-case letter, then at most 63 of a-z 0-9 _ -", m.Name)
	}
	f.version("version", m.Version)
	if len(m.Nodes) == 0 {
		f.add("nodes", "no node type, want at least one")
	}
	seen := map[string]bool{}
	for i := range m.Nodes {
		t := &m.Nodes[i]
		path := "nodes." + strconv.Itoa(i)
		if seen[t.Type] {
			f.add(path+".type", "%q is declared twice", t.Type)
		}
		seen[t.Type] = true
		f.nodeType(path, t)
	}
	return errors.Join(f.list...)
}

func (f *findings) version(path, v string) {
	if !isVersion(v) {
		f.add(path, "%q is not a semantic version such as 1.0.0", v)
	}
}

func (f *findings) nodeType(path string, t *NodeType) {
	if !isName(t.Type) {
		f.add(path+".type", "%q is not a name: a lower-case letter, then at most 63 of a-z 0-9 _ -", t.Type)
	}
	f.version(path+".version", t.Version)
	if strings.TrimSpace(t.Summary) == "" {
		f.add(path+".summary", "missing, want one sentence")
	}
	for j, name := range t.Implements {
		if !isInterface(name) {
			f.add(path+".implements."+strconv.Itoa(j), "%q is not an interface name such as retriever/v1", name)
		}
	}
	switch t.Effects {
	case EffectsNone, EffectsRead, EffectsWrite:
	default:
		f.add(path+".effects", "is %q, want none, read or write", t.Effects)
	}
	wanted := map[Capability]bool{}
	for j, c := range t.Capabilities {
		at := path + ".capabilities." + strconv.Itoa(j)
		switch c {
		case CapAsset, CapGenerate, CapHTTP, CapClock, CapRandom:
		default:
			f.add(at, "%q is not known, known are %s, %s, %s, %s, %s", c, CapAsset, CapGenerate, CapHTTP, CapClock, CapRandom)
		}
		if wanted[c] {
			f.add(at, "%q is listed twice", c)
		}
		wanted[c] = true
	}
	if wanted[CapHTTP] && t.Effects == EffectsNone {
		f.add(path+".effects", "are none, a node type that wants http has read (GET, HEAD, OPTIONS) or write")
	}
	if t.MemoryMiB < 0 || t.MemoryMiB > 4096 {
		f.add(path+".memory_mib", "is %d, want 0 to 4096", t.MemoryMiB)
	}
	f.schema(path+".input", t.Input, false)
	f.schema(path+".output", t.Output, false)
	f.schema(path+".config", t.Config, true)
}

// schema looks at what Spark itself reads of a schema: that it is one, and for
// config schemas the marks of the properties.
func (f *findings) schema(path string, raw json.RawMessage, marks bool) {
	if len(raw) == 0 {
		return
	}
	if err := sound(raw, path); err != nil {
		f.list = append(f.list, err)
		return
	}
	var b bool
	if marks && json.Unmarshal(raw, &b) == nil {
		f.add(path, "is %v, settings need a schema that is an object", b)
		return
	}
	if json.Unmarshal(raw, &b) == nil {
		return
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		f.add(path, "is not a JSON Schema: an object or a boolean")
		return
	}
	if !marks {
		return
	}
	var s property
	if err := json.Unmarshal(raw, &s); err != nil {
		f.add(path, "is not a JSON Schema: %v", err)
		return
	}
	if s.is() != "object" {
		f.add(path+".type", "is %s, settings are an \"object\"", s.Type)
	}
	if s.Tunable != nil {
		f.add(path+".x-tunable", "stands at the settings as a whole, mark single properties")
	}
	f.properties(path, &s)
}
