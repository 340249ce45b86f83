package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"

	"github.com/sparkrsi/spark/sdk/fault"
)

// EnvPrefix begins every variable that is a setting; `__` stands between levels:
// SPARK_NODES__MEMORY_MIB sets nodes.memory_mib.
const EnvPrefix = "SPARK_"

// maxFile bounds a configuration file.
const maxFile = 1 << 20

// loader collects what is known while the layers are read.
type loader struct {
	lookup   func(name string) (string, bool) // the environment, for ${env:NAME}
	sources  map[string]string                // where each key was last set
	findings []*fault.Error
}

// Load reads the settings. An empty path reads no file. environ is os.Environ()
// or what a test wants it to be; flags are key paths such as data_dir to their
// values. The error is an Invalid fault that names every problem with its key and
// its source; NotFound when the file is missing.
func Load(path string, environ []string, flags map[string]any) (*Config, error) {
	l := &loader{sources: map[string]string{}, lookup: lookup(environ)}
	k := koanf.New(".")
	if path != "" {
		doc, err := l.file(path)
		if err != nil {
			return nil, err
		}
		if err := k.Load(confmap.Provider(doc, ""), nil); err != nil {
			return nil, fault.Wrap(fault.Invalid, path, err, "read the settings")
		}
	}
	fromEnv := func(key, value string) (string, any) {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, EnvPrefix)), "__", ".")
		l.sources[name] = "environment variable " + key
		return name, value
	}
	if err := k.Load(env.Provider(".", env.Opt{Prefix: EnvPrefix, TransformFunc: fromEnv,
		EnvironFunc: func() []string { return settings(environ) }}), nil); err != nil {
		return nil, fault.Wrap(fault.Invalid, "environment", err, "read the environment")
	}
	if len(flags) > 0 {
		for key := range flags {
			l.sources[key] = "flag --" + strings.ReplaceAll(key, "_", "-")
		}
		if err := k.Load(confmap.Provider(flags, "."), nil); err != nil {
			return nil, fault.Wrap(fault.Invalid, "flags", err, "read the flags")
		}
	}
	c := Default()
	l.decode(k.Raw(), &c)
	if len(l.findings) == 0 {
		l.complete(&c, path)
	}
	return &c, l.err(path)
}

// program are the variables that steer the command line and are no settings.
var program = []string{"SPARK_CONFIG", "SPARK_OUTPUT", "SPARK_NO_COLOR"}

// settings returns the variables that set something. One whose name begins like
// no setting belongs to another program that uses the same prefix, unless it is
// near enough to a setting to be a slip. An empty variable is as good as none.
func settings(environ []string) []string {
	known := fields(reflect.TypeFor[Config]())
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		if value == "" || slices.Contains(program, name) || !strings.HasPrefix(name, EnvPrefix) {
			return true
		}
		first, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(name, EnvPrefix)), "__")
		_, is := known[first]
		return !is && nearest(first, known) == ""
	})
}

func lookup(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, kv := range slices.Backward(environ) {
			if k, v, ok := strings.Cut(kv, "="); ok && k == name {
				return v, true
			}
		}
		return "", false
	}
}

// file returns the settings of a YAML or JSON file with ${env:NAME} replaced.
func (l *loader) file(path string) (map[string]any, error) {
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, path, "there is no such configuration file").WithHint("name an existing file with --config")
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Path: path, Msg: "read the configuration", Err: err,
			Hint: "name a readable file with --config"}
	}
	return l.parse(path, body)
}

var yamlLine = regexp.MustCompile(`(?s)^yaml: (?:unmarshal errors:\s+)?(?:line (\d+): )?(.*)$`)

// parse reads one YAML document and remembers on which line each key stands.
func (l *loader) parse(path string, body []byte) (map[string]any, error) {
	if len(body) > maxFile {
		return nil, fault.New(fault.Invalid, path, "the file has %d bytes, the limit is %d", len(body), maxFile).
			WithHint("name a configuration file with --config")
	}
	var root yaml.Node
	var doc any
	err := yaml.Unmarshal(body, &root)
	if err == nil {
		err = root.Decode(&doc) // finds repeated keys, which the nodes keep
	}
	if err != nil {
		where, msg := path, err.Error()
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			if msg = strings.TrimSpace(m[2]); m[1] != "" {
				where += ":" + m[1]
			}
		}
		return nil, fault.New(fault.Invalid, where, "not YAML: %s", msg).WithHint("mend this line; indent with spaces")
	}
	if doc == nil {
		return map[string]any{}, nil
	}
	m, ok := doc.(map[string]any)
	if !ok {
		return nil, fault.New(fault.Invalid, path, "want settings as KEY: VALUE, not %s", kindOf(doc)).
			WithHint("`spark config default` prints an example")
	}
	l.lines(path, "", root.Content[0])
	out, _ := l.expand("", m).(map[string]any)
	return out, nil
}

// lines notes where the keys below n stand.
func (l *loader) lines(file, path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := join(path, n.Content[i].Value)
		l.sources[key] = file + ":" + itoa(n.Content[i].Line)
		l.lines(file, key, n.Content[i+1])
	}
}

// expand replaces ${env:NAME} in every text of v. An unset variable is a finding
// by its name, so that a missing secret is never an empty one.
func (l *loader) expand(path string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = l.expand(join(path, k), e)
		}
	case []any:
		for i, e := range v {
			v[i] = l.expand(path, e)
		}
	case string:
		return l.expandText(path, v)
	}
	return v
}

func (l *loader) expandText(path, s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${env:")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			l.bad(path, "write ${env:NAME}", "${env: is not closed")
			return b.String()
		}
		value, set := l.lookup(name)
		if !set {
			l.bad(path, "set "+name+", or give the value in another way", "environment variable %s is not set", name)
		}
		b.WriteString(value)
		s = after
	}
}

// bad notes a finding about a key.
func (l *loader) bad(key, hint, format string, args ...any) {
	where := key
	if s := l.source(key); s != "" {
		where = s + ": " + key
	}
	l.findings = append(l.findings, fault.New(fault.Invalid, where, format, args...).WithHint("%s", hint))
}

// source returns where a key was set, or the nearest key above it or below it.
func (l *loader) source(key string) string {
	for at := key; ; {
		if s, ok := l.sources[at]; ok {
			return s
		}
		i := strings.LastIndexByte(at, '.')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	for _, k := range slices.Sorted(maps.Keys(l.sources)) {
		if strings.HasPrefix(k, key+".") {
			return l.sources[k]
		}
	}
	return ""
}

// err returns the findings as one fault.
func (l *loader) err(path string) error {
	switch len(l.findings) {
	case 0:
		return nil
	case 1:
		return l.findings[0]
	}
	slices.SortStableFunc(l.findings, func(a, b *fault.Error) int { return natural(a.Path, b.Path) })
	var b strings.Builder
	for _, f := range l.findings {
		b.WriteString("\n  " + f.Error())
		if f.Hint != "" {
			b.WriteString("\n    hint: " + f.Hint)
		}
	}
	if path == "" {
		path = "settings"
	}
	return fault.New(fault.Invalid, path, "%d problems%s", len(l.findings), b.String()).
		WithHint("`spark config default` prints every setting with its default")
}
