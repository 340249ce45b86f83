package wasmhost

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
)

// list returns n elements made by format, which takes the index and a score.
func list(n int, format string) string {
	var l []string
	for i := range n {
		l = append(l, fmt.Sprintf(format, i, i*7%n))
	}
	return strings.Join(l, ",")
}

// kilobyte returns doc with PAD replaced by text so that it has 1,024 bytes.
func kilobyte(doc string) string {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 30)
	return strings.Replace(doc, "PAD", text[:max(0, 1024-len(doc)+len("PAD"))], 1)
}

// BenchmarkStock is one call of each stock node type with about 1 KB. Beside the
// mean it reports the fastest of many batches, which other work on the machine
// disturbs less.
func BenchmarkStock(b *testing.B) {
	h := openHost(b, Config{})
	m := admit(b, h, builtModule(b, "stock"), true)
	hits := kilobyte(`{"items":[` + list(12, `{"id":"pkg/name.%d","score":0.%d5,"title":"Some title of hit"}`) + `],"pad":"PAD"}`)
	text := kilobyte(`{"text":"PAD"}`)
	answer := kilobyte(`{"expected":"the quick brown fox jumps over the lazy dog","output":"PAD"}`)
	number := kilobyte(`{"expected":10,"output":"PAD"}`)
	joined := `{` + list(10, `"step%d":{"id":"pkg/name.%d","score":0.25,"title":"Some title of this hit that is long","tags":["a","b"]}`) + `}`
	found := `{"question":"join two lists","terms":["join","two","lists"],"hits":[` +
		list(8, `{"id":"pkg/name.%d","pkg":"pkg","name":"JoinAll","kind":"func","sig":"func JoinAll()","summary":"JoinAll joins.","score":0.%d5}`) + `]}`
	object := `{"items":[` + list(10, `{"id":"pkg/name.%d","s":0.%d5,"title":"Some title"}`) + `]}`
	objects := `{"expected":` + object + `,"output":` + strings.ReplaceAll(object, `,"s"`, `, "s"`) + `}`
	for _, x := range []struct{ name, config, in string }{
		{"echo", `{}`, text},
		{"template", `{"template":"Answer: {{text}} end"}`, text},
		{"transform", `{"output":{"first":"$.items.0.id","ids":"$.items.*.id","n":"$.items | length"}}`, hits},
		{"transform", `{"output":{"top":{"$each":"$.items | where score > 0.3 | sort score desc | take 3","$as":{"id":"@.id","t":"@.title | upper"}}}}`, hits},
		{"transform", `{}`, text},
		{"textnorm", `{"stop_words":true}`, strings.Replace(text, "text", "question", 1)},
		{"format", `{}`, found},
		{"rerank", `{"name":1,"coverage":1,"kind":0.5}`, found},
		{"mrr", `{}`, `{"expected":{"ids":["pkg/name.9"]},"output":{"answers":[` + list(14, `{"id":"pkg/name.%d","score":0.%d5,"title":"Some title of the hit"}`) + `]}}`},
		{"split", `{"by":"sentences"}`, text},
		{"split", `{"field":"items","size":2}`, hits},
		{"split", `{"by":"words","size":50,"overlap":10}`, text},
		{"merge", `{"field":"id"}`, joined},
		{"merge", `{"as":"object"}`, joined},
		{"classify", `{"rules":[{"label":"a","words":["quick brown","dog","cat","mouse"]},{"label":"b","words":["lazy cat","bird"]}]}`, text},
		{"classify", `{"rules":[{"label":"a","pattern":"quick\\s+\\w+ fox"}]}`, text},
		{"classify", `{"rules":[{"label":"a","pattern":"(?i)\\b(cat|mouse)\\b"}]}`, text},
		{"dedupe", `{"key":"id"}`, hits},
		{"dedupe", `{"mode":"near"}`, hits},
		{"dedupe", `{"mode":"near","key":"title"}`, hits},
		{"top", `{"n":3}`, hits},
		{"exact", `{}`, objects},
		{"contains", `{}`, answer},
		{"json_path", `{}`, objects},
		{"numeric", `{"in_text":true}`, number},
		{"regex", `{"pattern":"lazy cat"}`, number},
		{"regex", `{"pattern":"(?i)(cat|bird)s?\\b"}`, number},
		{"overlap", `{}`, answer},
		{"overlap", `{"stem":"porter"}`, answer},
	} {
		b.Run(x.name+x.config, func(b *testing.B) {
			n := newNode(b, h, m, NodeSpec{Type: x.name, Config: []byte(x.config)})
			s := &run.Step{Input: []byte(x.in), Trail: &run.Trail{}}
			best, calls, from := time.Duration(math.MaxInt64), 0, time.Now()
			for b.Loop() {
				s.Trail.Reset()
				if _, err := n.RunNode(context.Background(), s); err != nil {
					b.Fatal(err)
				}
				if calls++; calls%20 == 0 {
					now := time.Now()
					best, from = min(best, now.Sub(from)), now
				}
			}
			if calls >= 20 {
				b.ReportMetric(float64(best.Nanoseconds())/20_000, "best-us/op")
			}
		})
	}
}
