package expand

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestExpand(t *testing.T) {
	n := nodetest.New(t, New, `{"weight":0.5,"per_term":2}`, nil)
	for _, x := range []struct{ config, terms, want string }{
		{`{"weight":0.5,"per_term":2}`, `["joining","zebra"]`, `["joining","zebra",{"t":"join","w":0.5},{"t":"concatenate","w":0.5}]`},
		{`{"weight":0}`, `["join"]`, `["join"]`},
		{`{"weight":1,"per_term":1}`, `["truncate"]`, `["truncate","cut"]`},
		{`{"weight":0.5,"per_term":16,"max_terms":2}`, `["sort"]`, `["sort",{"t":"order","w":0.5}]`},
		{`{"weight":0.5,"per_term":1}`, `[{"t":"sort","w":0.5}]`, `[{"t":"sort","w":0.5},{"t":"order","w":0.25}]`},
		{`{"max_terms":1}`, `["sort","join"]`, `["sort","join"]`},
	} {
		n.Configure(x.config)
		n.Want(`{"question":"q","terms":`+x.terms+`}`, `{"question":"q","terms":`+x.want+`}`)
	}
	n.WantFault(`{"terms":1}`, fault.Invalid)
}

// TestTable holds the table to what it says of itself.
func TestTable(t *testing.T) {
	lines := map[string]bool{}
	for _, g := range synonyms() {
		line := " "
		for _, b := range g {
			w := string(b.text)
			if strings.Contains(line, " "+w+" ") {
				t.Errorf("%s names %s twice", line, w)
			}
			line += w + " "
			if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
				t.Errorf("%s: %q is not one lower-case word", line, w)
			}
		}
		if lines[line] {
			t.Errorf("%s stands twice", line)
		}
		lines[line] = true
	}
	if len(synonyms()) < 100 || strings.Count(strings.TrimSpace(table), "\n")+1 != len(synonyms()) {
		t.Errorf("%d groups in %d lines", len(synonyms()), strings.Count(table, "\n"))
	}
}
