package template

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestTemplate(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	n.Want(`{}`, `{"text":""}`)
	for _, x := range []struct{ template, in, text string }{
		{"plain } text", `{}`, "plain } text"},
		{"{{a}}{{ b.c }}-{{d.1}}", `{"a":"x\ny","b":{"c":1.50},"d":[1,[2, 3]]}`, `x\ny1.50-[2, 3]`},
		{"{{.}}", `{"a":1}`, `{\"a\":1}`},
		{"{{a}}", `{"a":null}`, "null"},
		{"{{{a}}", `{"{a":true}`, "true"},
	} {
		n.Configure(`{"template":"` + x.template + `"}`)
		n.Want(x.in, `{"text":"`+x.text+`"}`)
	}
	n.Configure(`{"template":"{{a.b}}"}`)
	n.WantFault(`{"a":1}`, fault.Rejected)
	n.WantFault(`{"a"`, fault.Invalid)
	n.Configure(`{"template":"<{{a.b}}>","missing":"empty"}`)
	n.Want(`{"a":1}`, `{"text":"<>"}`)
	for _, bad := range []string{"{{", "{{}}", "{{ }}", "x{{a}", "{{a}}{{b"} {
		if err := n.TryConfigure(`{"template":"` + bad + `"}`); !fault.Is(err, fault.Invalid) {
			t.Errorf("template %q: %v", bad, err)
		}
	}
}

func TestAppendURL(t *testing.T) {
	doc, err := node.Parse([]byte(`{"id":"a/b ?&#%\u00e4","n":1.5,"url":"https://h/p?q=1"}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"https://h/{{id}}?n={{n}}": "https://h/a%2Fb%20%3F%26%23%25%C3%A4?n=1.5",
		"{{url}}":                  "https://h/p?q=1",
		"{{url}}/":                 "https%3A%2F%2Fh%2Fp%3Fq%3D1/",
	} {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.AppendURL(nil, doc); err != nil || string(got) != want {
			t.Errorf("%s became %s, want %s (%v)", text, got, want, err)
		}
	}
}

// FuzzTemplate checks that a template without places is filled as it is and that
// none crashes.
func FuzzTemplate(f *testing.F) {
	f.Add("a {{b}} c")
	f.Add("{{}}{{")
	doc, err := node.Parse([]byte(`{"b":"x","c":[1]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		out, err := p.Append(nil, doc, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.parts) == 1 && string(out) != text {
			t.Fatalf("%q became %q", text, out)
		}
	})
}
