package node

import (
	"fmt"
	"strings"
	"testing"
)

// records is a document of about 1 KB with a list of objects.
func records() []byte {
	var l []string
	for i := range 9 {
		l = append(l, fmt.Sprintf(`{"id":"pkg/name.%d","pkg":"pkg","name":"JoinAll","kind":"func","sig":"func JoinAll()","summary":"JoinAll joins.","score":0.%d5}`, i, i))
	}
	return []byte(`{"question":"join two lists","terms":["join","two","lists"],"hits":[` + strings.Join(l, ",") + `]}`)
}

func BenchmarkParse(b *testing.B) {
	doc := records()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWalk looks at every member of every hit.
func BenchmarkWalk(b *testing.B) {
	doc := records()
	v, err := Parse(doc)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		n := 0
		for h := range v.Get("hits").Items() {
			for k, x := range h.Fields() {
				n += len(k.Text()) + len(x.Raw())
			}
		}
		if n < len(doc)/2 {
			b.Fatal(n)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	v, err := Parse(records())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if v.Path("hits.8.score").Kind() != Number {
			b.Fatal("no score")
		}
	}
}

// BenchmarkWrite writes the hits anew, member by member.
func BenchmarkWrite(b *testing.B) {
	v, err := Parse(records())
	if err != nil {
		b.Fatal(err)
	}
	var w Writer
	for b.Loop() {
		w.Reset()
		w.Array()
		for h := range v.Get("hits").Items() {
			w.Object()
			for k, x := range h.Fields() {
				w.Member(k, x)
			}
			w.End()
		}
		w.End()
	}
}
