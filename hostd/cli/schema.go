package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// schemaText prints the settings of a config schema, one a line.
func schemaText(w io.Writer, schema json.RawMessage) {
	var s struct {
		Properties map[string]struct {
			Type        any               `json:"type"`
			Enum        []json.RawMessage `json:"enum"`
			Minimum     *float64          `json:"minimum"`
			Maximum     *float64          `json:"maximum"`
			Default     json.RawMessage   `json:"default"`
			Description string            `json:"description"`
			Tunable     json.RawMessage   `json:"x-tunable"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if json.Unmarshal(schema, &s) != nil || len(s.Properties) == 0 {
		return // another form of schema: -o json shows it
	}
	t := newTable("  SETTING", "TYPE", "DEFAULT", "TUNED", "MEANING")
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		typ := fmt.Sprint(p.Type)
		if len(p.Enum) > 0 {
			var words []string
			for _, e := range p.Enum {
				words = append(words, strings.Trim(string(e), `"`))
			}
			typ = strings.Join(words, "|")
		}
		if p.Minimum != nil && p.Maximum != nil {
			typ += fmt.Sprintf(" %g..%g", *p.Minimum, *p.Maximum)
		}
		def := string(p.Default)
		if slices.Contains(s.Required, name) {
			def = "required"
		}
		tuned := ""
		if len(p.Tunable) > 0 {
			tuned = "yes"
		}
		t.row("  "+name, typ, orDash(def), tuned, p.Description)
	}
	t.write(w)
}
