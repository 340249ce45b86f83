package textnorm

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestTerms(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	for _, x := range []struct{ config, question, terms string }{
		{`{}`, `How do I use ReadAll, readAll?`, `["how","do","i","use","read","all"]`},
		{`{"split":false}`, `How do I use ReadAll, readAll?`, `["how","do","i","use","readall"]`},
		{`{"stop_words":true}`, `How do I read the files?`, `["read","files"]`},
		{`{"stop_words":true,"stem":"light"}`, `How do I read the files, a file?`, `["read","file"]`},
		{`{"stem":"porter"}`, `reading files`, `["read","file"]`},
		{`{"stop_words":true}`, `What is it?`, `["what","is","it"]`},
		{`{"max_terms":2}`, `one two two three`, `["one","two"]`},
		{`{}`, `?!`, `[]`},
		{`{}`, `tab\tend \"x\"`, `["tab","end","x"]`},
	} {
		n.Configure(x.config)
		n.Want(`{"question":"`+x.question+`","more":1}`, `{"question":"`+x.question+`","terms":`+x.terms+`}`)
	}
	n.WantFault(`{"question":1}`, fault.Invalid)
	n.WantFault(`{}`, fault.Invalid)
	n.WantFault(`{"question"`, fault.Invalid)
}
