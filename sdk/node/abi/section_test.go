package abi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

const doc = `{"abi":1,"name":"m","version":"1.2.3","nodes":[{"type":"a","version":"0.1.0","summary":"s","effects":"none",
"implements":["retriever/v1"],"config":{"type":"object","properties":{"k":{"type":"number","minimum":0,"maximum":5,"default":1,"x-tunable":{"max":4}},
"on":{"type":"boolean","x-tunable":true},"off":{"x-tunable":false},"any":true,"p":{"type":"string","x-prompt":true},
"in":{"type":"object","properties":{"mode":{"type":"string","enum":["x","y"],"x-tunable":{}}}}}},"input":true,"output":{"type":["string","null"]},
"deterministic":true,"idempotent":true,"capabilities":["asset","clock"],"memory_mib":16}]}`

func manifest(t testing.TB) *Manifest {
	t.Helper()
	m, err := DecodeManifest([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

// custom returns a custom section.
func custom(name, body string) string {
	content := string(rune(len(name))) + name + body
	var size []byte
	for n := len(content); ; n >>= 7 {
		if n < 128 {
			size = append(size, byte(n))
			break
		}
		size = append(size, byte(n)|128)
	}
	return "\x00" + string(size) + content
}

func TestSectionRoundTrip(t *testing.T) {
	m := manifest(t)
	bare := header + custom("name", "x") + "\x01\x04\x01\x60\x00\x00" + custom("z", "")
	wasm, err := AppendManifest([]byte(bare), m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(m)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Errorf("got %s, want %s", b, a)
	}
	if !bytes.HasPrefix(wasm, []byte(bare)) {
		t.Error("the sections of the module changed")
	}
	// A second manifest takes the place of the first.
	m.Version = "1.2.4"
	again, err := AppendManifest(wasm, m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = ReadManifest(again); err != nil || got.Version != "1.2.4" || len(again) != len(wasm) {
		t.Errorf("version %v, %v, %d bytes", got, err, len(again))
	}
	m.Nodes = nil
	if _, err := AppendManifest([]byte(bare), m); !fault.Is(err, fault.Invalid) {
		t.Errorf("an invalid manifest was appended: %v", err)
	}
}

func TestReadManifestRefuses(t *testing.T) {
	good := custom(Section, doc)
	for name, x := range map[string]struct{ wasm, want string }{
		"empty":         {"", "not a WebAssembly binary"},
		"text":          {"(module)", "not a WebAssembly binary"},
		"version 2":     {"\x00asm\x02\x00\x00\x00", "not a WebAssembly binary"},
		"none":          {header, "no such custom section"},
		"twice":         {header + good + good, "more than one"},
		"cut":           {header + good[:40], "beyond the end"},
		"no size":       {header + "\x00", "beyond the end"},
		"endless size":  {header + "\x00\xff\xff\xff\xff\xff\xff", "beyond the end"},
		"no name":       {header + "\x00\x00", "has no name"},
		"name too long": {header + "\x00\x02\x05a", "has no name"},
		"empty body":    {header + custom(Section, ""), "0 bytes"},
		"no JSON":       {header + custom(Section, "{"), "not JSON"},
	} {
		if _, err := ReadManifest([]byte(x.wasm)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want an invalid fault with %q", name, err, x.want)
		}
	}
	large := header + custom(Section, strings.Repeat(" ", MaxManifest+1))
	if _, err := ReadManifest([]byte(large)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "1048577 bytes") {
		t.Errorf("too large: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, x := range map[string]struct{ doc, want string }{
		"unknown key":          {`{"abi":1,"colour":2}`, "colour: unknown key"},
		"case variant":         {`{"ABI":1}`, "ABI: unknown key"},
		"unknown node key":     {`{"abi":1,"nodes":[{"type":"a","kind":1}]}`, "nodes.0.kind: unknown key"},
		"node case variant":    {`{"nodes":[{"Type":"a"}]}`, "nodes.0.Type: unknown key"},
		"repeated":             {`{"abi":1,"abi":1}`, "abi: key appears twice"},
		"repeated in a schema": {`{"nodes":[{"config":{"a":{"b":1,"b":2}}}]}`, "nodes.0.config.a.b: key appears twice"},
		"type":                 {`{"abi":"1"}`, "abi: wrong type"},
		"array":                {`[]`, "not an object"},
		"null":                 {`null`, "not an object"},
		"trailing":             {`{} {}`, "unexpected data"},
		"utf8":                 {"{\"name\":\"\xff\"}", "UTF-8"},
		"deep":                 {`{"nodes":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "nested deeper than 64"},
		"cut":                  {`{"abi":`, "not JSON"},
	} {
		if _, err := DecodeManifest([]byte(x.doc)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want an invalid fault with %q", name, err, x.want)
		}
	}
	if _, err := DecodeNodeType([]byte(`{"type":"a","kind":1}`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("node type: %v", err)
	}
}

func TestValidateFindsAll(t *testing.T) {
	m := &Manifest{ABI: 2, Name: "No", Version: "1", Nodes: []NodeType{
		{Type: "a", Version: "1.0.0-rc.1+b", Summary: "s", Effects: EffectsRead},
		{Type: "a", Version: "01.0.0", Effects: "some", Implements: []string{"x/v0", "y", "z/v12"}, Capabilities: []Capability{"fly", CapAsset, CapAsset},
			MemoryMiB: -1, Input: json.RawMessage(`3`), Output: json.RawMessage(`{"a":1,"a":2}`), Config: json.RawMessage(`{"type":"object","properties":{
			"a":{"type":"number","x-tunable":{}},
			"b":{"type":"number","minimum":0,"maximum":1,"x-tunable":{"min":-1,"max":2,"step":9,"log":true}},
			"c":{"type":"integer","x-tunable":{"min":0.5,"max":3}},
			"d":{"type":"number","default":9,"x-tunable":{"min":3,"max":3}},
			"e":{"type":"string","x-tunable":{"values":["x"]}},
			"f":{"type":"string","x-tunable":{"values":["x",1],"min":1}},
			"g":{"type":"array","x-tunable":{}},
			"h":{"type":"number","x-tunable":{"mini":1}},
			"i":{"type":"number","x-prompt":true},
			"j":{"type":"number","default":9,"x-tunable":{"min":1,"max":3,"values":[1,2]}},
			"k":{"type":"object","properties":{"l":{"type":"boolean","x-tunable":{"values":[true,"x"]}}}},
			"m":7}}`)},
		{Type: "9", Version: "1.0.0", Summary: "s", Effects: EffectsNone, Config: json.RawMessage(`{"type":"string","x-tunable":true}`)},
		{Type: "z", Version: "1.0.0", Summary: "s", Effects: EffectsNone, Config: json.RawMessage(`true`)},
	}}
	err := m.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v is not joined", err)
	}
	var got []string
	for _, e := range joined.Unwrap() {
		f, ok := e.(*fault.Error)
		if !ok || f.Kind != fault.Invalid {
			t.Errorf("finding %v is no invalid fault", e)
			continue
		}
		got = append(got, f.Path)
	}
	want := []string{"abi", "name", "version",
		"nodes.1.type", "nodes.1.version", "nodes.1.summary", "nodes.1.implements.0", "nodes.1.implements.1", "nodes.1.effects",
		"nodes.1.capabilities.0", "nodes.1.capabilities.2", "nodes.1.memory_mib", "nodes.1.input", "nodes.1.output.a",
		"nodes.1.config.properties.a.x-tunable",
		"nodes.1.config.properties.b.x-tunable.min", "nodes.1.config.properties.b.x-tunable.max",
		"nodes.1.config.properties.b.x-tunable.step", "nodes.1.config.properties.b.x-tunable.log",
		"nodes.1.config.properties.c.x-tunable",
		"nodes.1.config.properties.d.x-tunable",
		"nodes.1.config.properties.e.x-tunable",
		"nodes.1.config.properties.f.x-tunable", "nodes.1.config.properties.f.x-tunable.values.1",
		"nodes.1.config.properties.g.x-tunable",
		"nodes.1.config.properties.h.x-tunable.mini",
		"nodes.1.config.properties.i.x-prompt",
		"nodes.1.config.properties.j.x-tunable.values", "nodes.1.config.properties.j.x-tunable",
		"nodes.1.config.properties.k.properties.l.x-tunable.values.1",
		"nodes.1.config.properties.m",
		"nodes.2.type", "nodes.2.config.type", "nodes.2.config.x-tunable",
		"nodes.3.config",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("findings\n%s\nwant\n%s\n%v", strings.Join(got, "\n"), strings.Join(want, "\n"), err)
	}
	if err := (&Manifest{ABI: 1, Name: "a", Version: "0.0.0"}).Validate(); err == nil || !strings.Contains(err.Error(), "no node type") {
		t.Errorf("a manifest without nodes: %v", err)
	}
}

func TestVersions(t *testing.T) {
	for v, want := range map[string]bool{"1.0.0": true, "0.0.0": true, "1.0.0-rc.1": true, "1.0.0+x-y.2": true, "1.0.0-a+b": true, "10.20.30": true,
		"": false, "1": false, "1.0": false, "1.0.0.0": false, "v1.0.0": false, "01.0.0": false, "1.0.0-": false, "1.0.0-a..b": false,
		"1.0.0+": false, "1.0.x": false, "-1.0.0": false} {
		if isVersion(v) != want {
			t.Errorf("isVersion(%q) is not %v", v, want)
		}
	}
}

// FuzzReadManifest checks that reading never crashes and that what was read and
// is valid survives being written.
func FuzzReadManifest(f *testing.F) {
	wasm, err := AppendManifest([]byte(header+custom("name", "x")), manifest(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wasm)
	f.Add([]byte(header + custom(Section, `{"abi":1,"nodes":[{"config":{"type":"object","properties":{"a":{"x-tunable":{"min":1}}}}}]}`)))
	f.Add([]byte(header + "\x00\x80\x80\x80\x80\x10"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := ReadManifest(wasm)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("kind %s", fault.KindOf(err))
			}
			return
		}
		if m.Validate() != nil {
			return
		}
		again, err := AppendManifest(wasm, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadManifest(again); err != nil {
			t.Fatal(err)
		}
	})
}
