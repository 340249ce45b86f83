package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/fault"
)

// decode puts the merged settings into c. Keys are compared with the json tags
// of the types, so a setting has one name wherever it is written; text from the
// environment and from flags is read as the type that the setting has.
func (l *loader) decode(raw map[string]any, c *Config) {
	fixed, _ := l.fit("", raw, reflect.TypeFor[Config]()).(map[string]any)
	if len(l.findings) > 0 {
		return
	}
	// A profile is read over the defaults of telemetry, not over zeros.
	profiles := map[string]telemetry.Config{}
	if t, ok := fixed["telemetry"].(map[string]any); ok {
		given, _ := t["profiles"].(map[string]any)
		delete(t, "profiles")
		for _, name := range slices.Sorted(maps.Keys(given)) {
			body, err := json.Marshal(given[name])
			if err == nil {
				profiles[name], err = telemetry.ParseConfig(body)
			}
			l.profile("telemetry.profiles."+name, err)
		}
	}
	body, err := json.Marshal(fixed)
	if err != nil {
		l.bad("", "", "the settings cannot be encoded: %v", err)
		return
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		l.bad("", "", "%v", err)
	}
	c.Telemetry.Profiles = profiles
}

// profile notes what telemetry finds wrong with a profile, each with its key.
func (l *loader) profile(path string, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			l.profile(path, e)
		}
		return
	}
	if f, ok := err.(*fault.Error); ok {
		msg := f.Msg
		if f.Err != nil {
			msg += ": " + f.Err.Error()
		}
		key := path
		if _, setting, found := strings.Cut(f.Path, "telemetry."); found {
			key = join(path, setting)
		}
		l.bad(key, f.Hint, "%s", msg)
		return
	}
	l.bad(path, "", "%v", err)
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// fit returns v in a form that decodes into t: text becomes numbers and
// booleans where t wants them. Keys that t does not know are findings.
func (l *loader) fit(path string, v any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return l.own(path, v, t)
	}
	wrong := func(want string) any {
		l.bad(path, "give "+want, "want %s, not %s", want, kindOf(v))
		return nil
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		m, ok := v.(map[string]any)
		if v == nil {
			return map[string]any{} // a key without settings below it
		}
		if !ok {
			return wrong("a mapping")
		}
		return l.fitMap(path, m, t)
	case reflect.String:
		if _, ok := v.(string); !ok {
			return wrong("text")
		}
	case reflect.Bool:
		if s, ok := v.(string); ok {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return wrong("true or false")
			}
			return b
		}
		if _, ok := v.(bool); !ok {
			return wrong("true or false")
		}
	case reflect.Int, reflect.Int64:
		f, ok := number(v)
		if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return wrong("a whole number")
		}
		return int64(f)
	case reflect.Float64:
		f, ok := number(v)
		if !ok {
			return wrong("a number")
		}
		return f
	}
	return v
}

func (l *loader) fitMap(path string, m map[string]any, t reflect.Type) any {
	out := map[string]any{}
	if t.Kind() == reflect.Map {
		for key, value := range m {
			out[key] = l.fit(join(path, key), value, t.Elem())
		}
		return out
	}
	known := fields(t)
	for key, value := range m {
		sub := join(path, key)
		ft, ok := known[key]
		if !ok {
			hint := "`spark config default` prints every setting"
			if near := nearest(key, known); near != "" {
				hint = "did you mean " + join(path, near) + "?"
			}
			l.bad(sub, hint, "there is no such setting")
			continue
		}
		out[key] = l.fit(sub, value, ft)
	}
	return out
}

// own checks a value whose type decodes itself, such as a duration.
func (l *loader) own(path string, v any, t reflect.Type) any {
	body, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(body, reflect.New(t).Interface())
	}
	if err != nil {
		want := "a value of another form"
		switch t.Name() {
		case "Duration":
			want = "a duration such as 5s, or a number of seconds"
		case "Names":
			want = "a name or a list of names"
		}
		l.bad(path, "give "+want, "%v is not %s", kindOf(v), want)
		return nil
	}
	return v
}

func number(v any) (float64, bool) {
	var f float64
	switch v := v.(type) {
	case string:
		var err error
		if f, err = strconv.ParseFloat(v, 64); err != nil {
			return 0, false
		}
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	case uint64:
		f = float64(v)
	case float64:
		f = v
	default:
		return 0, false
	}
	return f, !math.IsNaN(f) && !math.IsInf(f, 0)
}

// kindOf words a value for a message, without giving a long text away.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case map[string]any, map[any]any:
		return "a mapping"
	case []any, []string:
		return "a list"
	case string:
		if len(v) > 40 {
			return "a text of " + strconv.Itoa(len(v)) + " bytes"
		}
		return strconv.Quote(v)
	}
	return fmt.Sprint(v)
}

// fields returns the json names of a struct's fields and their types.
func fields(t reflect.Type) map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "-" && name != "" {
			m[name] = f.Type
		}
	}
	return m
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest returns the known key that a mistyped one most likely meant, or "".
func nearest(key string, known map[string]reflect.Type) string {
	best, dist := "", min(3, len(key)/2)+1
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if d := distance(key, k); d < dist {
			best, dist = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// natural compares texts so that spark.yaml:9 comes before spark.yaml:10.
func natural(a, b string) int {
	if len(a) != len(b) && strings.Count(a, ":") > 0 && strings.Count(b, ":") > 0 {
		af, ar, _ := strings.Cut(a, ":")
		bf, br, _ := strings.Cut(b, ":")
		al, _, _ := strings.Cut(ar, ":")
		bl, _, _ := strings.Cut(br, ":")
		x, errA := strconv.Atoi(al)
		y, errB := strconv.Atoi(bl)
		if af == bf && errA == nil && errB == nil && x != y {
			return x - y
		}
	}
	return strings.Compare(a, b)
}

func itoa(i int) string { return strconv.Itoa(i) }
