package wasmhost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
)

// prose is a text of about 1 KB in which few words stand twice.
const prose = `Observability answers what a program did last night, why some requests took longer than others, and which change made things worse. ` +
	`A trace follows one request through every service it visits; spans record beginnings, ends and attributes. Metrics count what happens often, ` +
	`logs describe what happens rarely. Engineers who read all three together find causes within minutes instead of hours. Sampling keeps costs bounded: ` +
	`most traces look alike, so storing each of them wastes money. Keep failures, keep slow runs, keep a random share of everything else. ` +
	`"Measure before you optimize," people say, yet few teams do. Budgets help here: an objective such as 99.9 percent availability leaves about ` +
	`43 minutes of downtime a month. Spend them on experiments. When the budget is gone, stop shipping features and repair what broke. ` +
	`Dashboards should fit on one screen, alerts must wake nobody without need, and runbooks ought to be tested like code. `

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
	quoted, err := json.Marshal(strings.Repeat(prose, 2)[:1300-len(doc)])
	if err != nil {
		panic(err)
	}
	text := strings.TrimRight(string(quoted[1:1024-len(doc)+len("PAD")+1]), `\`)
	return strings.Replace(doc, "PAD", text, 1)
}

// corpus is the asset of a retriever: 500 entries made of the prose.
func corpus() string {
	words := strings.FieldsFunc(prose, func(r rune) bool { return r < 'A' || r > 'z' })
	var b strings.Builder
	for i := range 500 {
		at := func(k int) string { return words[(i*k+k*k)%len(words)] }
		fmt.Fprintf(&b, `{"id":"p%d.%s","pkg":"p%d/%s","name":"%s","kind":"func","sig":"func %s(%s string)","doc":"%s %s %s %s. It %s %s."}`+"\n",
			i%20, at(3), i%20, at(5), at(3), at(3), at(7), at(3), at(11), at(13), at(17), at(19), at(23))
	}
	return b.String()
}

// stockRun is a node of the stock module with an input of about 1 KB.
type stockRun struct{ kind, config, in string }

// stockRuns holds each stock node type in the ways that differ in what they cost.
func stockRuns() []stockRun {
	hits := kilobyte(`{"items":[` + list(12, `{"id":"pkg/name.%d","score":0.%d5,"title":"Some title of hit"}`) + `],"pad":"PAD"}`)
	text := kilobyte(`{"text":"PAD"}`)
	question := kilobyte(`{"question":"PAD"}`)
	answer := kilobyte(`{"expected":"` + prose[:300] + `","output":"PAD"}`)
	number := kilobyte(`{"expected":99.9,"output":"PAD"}`)
	joined := `{` + list(10, `"step%d":{"id":"pkg/name.%d","score":0.25,"title":"Some title of this hit that is long","tags":["a","b"]}`) + `}`
	found := `{"question":"how to join two lists","terms":["join",{"t":"concat","w":0.3},"two","lists"],"hits":[` +
		list(7, `{"id":"pkg/name.%d","pkg":"pkg/list","name":"JoinAll","kind":"func","sig":"func JoinAll()","summary":"JoinAll joins lists.","score":0.%d5}`) + `]}`
	asked := `{"question":"join the lists of all requests","terms":[` + list(38, `{"t":"request%d","w":0.%d5}`) + `,"join","lists"]}`
	object := `{"items":[` + list(10, `{"id":"pkg/name.%d","s":0.%d5,"title":"Some title"}`) + `]}`
	objects := `{"expected":` + object + `,"output":` + strings.ReplaceAll(object, `,"s"`, `, "s"`) + `}`
	ranked := `{"expected":{"ids":["pkg/name.9"]},"output":{"answers":[` + list(14, `{"id":"pkg/name.%d","score":0.%d5,"title":"Some title of the hit"}`) + `]}}`
	return []stockRun{
		{"bm25", `{"depth":10}`, kilobyte(`{"question":"sampling keeps costs bounded","terms":["sampling","costs","bounded","traces"],"pad":"PAD"}`)},
		{"bm25", `{"depth":10,"stem":"porter"}`, asked},
		{"classify", `{"rules":[{"label":"a","words":["random share","dog","traces","budgets"]},{"label":"b","words":["downtime a month","bird"]}]}`, text},
		{"classify", `{"rules":[{"label":"a","pattern":"(?i)\\b(outage|incident)s?\\b"},{"label":"b","pattern":"\\d+ minutes"},{"label":"b","words":["budget"]}]}`, text},
		{"contains", `{}`, answer},
		{"dedupe", `{"key":"id"}`, hits},
		{"dedupe", `{"mode":"near"}`, hits},
		{"dedupe", `{"mode":"near","key":"title"}`, hits},
		{"echo", `{}`, text},
		{"exact", `{}`, objects},
		{"expand", `{}`, asked},
		{"format", `{}`, found},
		{"generate", `{"model":"m","prompt":"Summarize: {{text}}"}`, text},
		{"http_get", `{"url":"{{url}}"}`, kilobyte(`{"url":"URL","text":"PAD"}`)},
		{"http_send", `{"url":"{{url}}"}`, kilobyte(`{"url":"URL","text":"PAD"}`)},
		{"json_path", `{}`, objects},
		{"json_path", `{"paths":["items.0.id","items.9.title"]}`, objects},
		{"merge", `{"field":"id"}`, joined},
		{"merge", `{"as":"object"}`, joined},
		{"mrr", `{}`, ranked},
		{"numeric", `{"in_text":true}`, number},
		{"overlap", `{}`, answer},
		{"overlap", `{"stem":"porter","drop_stop_words":true}`, answer},
		{"regex", `{"pattern":"lazy cat"}`, number},
		{"regex", `{"pattern":"(?i)(cat|bird)s?\\b"}`, number},
		{"regex", `{"pattern":"[a-z]+ (percent|share) .*month\\.","whole":false}`, number},
		{"regex", `{}`, kilobyte(`{"expected":"\\d+ minutes of (down|up)time","output":"PAD"}`)},
		{"rerank", `{"name":1,"coverage":1,"kind":0.5}`, found},
		{"rerank", `{"name":1,"coverage":1,"pkg":1,"stem":"porter"}`, found},
		{"split", `{"by":"sentences"}`, text},
		{"split", `{"field":"items","size":2}`, hits},
		{"split", `{"by":"words","size":50,"overlap":10}`, text},
		{"template", `{"template":"Answer: {{text}} end"}`, text},
		{"textnorm", `{}`, question},
		{"textnorm", `{"stop_words":true,"stem":"porter"}`, question},
		{"top", `{"n":3}`, hits},
		{"transform", `{}`, text},
		{"transform", `{"output":{"first":"$.items.0.id","ids":"$.items.*.id","n":"$.items | length"}}`, hits},
		{"transform", `{"output":{"top":{"$each":"$.items | where score > 0.3 | sort score desc | take 3","$as":{"id":"@.id","t":"@.title | upper"}}}}`, hits},
	}
}

// stockHost holds the stock module with a model and a server that answer at once.
type stockHost struct {
	*Host
	m   *Module
	url string
}

func openStock(t testing.TB) *stockHost {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil // the same answer each time
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"answer":"`+prose[:128]+`"}`)
	}))
	t.Cleanup(s.Close)
	h := openHost(t, Config{Generator: generator(nil), PrivateOrigins: []string{s.URL}})
	return &stockHost{h, admit(t, h, builtModule(t, "stock"), true), s.URL}
}

// node returns the node of r, granted all it wants, and its input.
func (s *stockHost) node(t testing.TB, r stockRun) (*Node, []byte) {
	t.Helper()
	n := newNode(t, s.Host, s.m, NodeSpec{Type: r.kind, Config: []byte(r.config), Assets: dataAsset(corpus()),
		Grant: Grant{Generate: true, HTTP: []string{s.url}}, Timeout: 20 * time.Second})
	return n, []byte(strings.Replace(r.in, "URL", s.url, 1))
}

// BenchmarkStock is one call of each stock node type with about 1 KB. Beside the
// mean it reports the fastest of many batches, which other work on the machine
// disturbs less. What http_get, http_send and generate cost is mostly the host's
// part, here a request to a server in the same process.
func BenchmarkStock(b *testing.B) {
	h := openStock(b)
	for _, x := range stockRuns() {
		b.Run(x.kind+x.config, func(b *testing.B) {
			n, in := h.node(b, x)
			s := &run.Step{Input: in, Trail: &run.Trail{}}
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
