package bm25

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

type symbol struct {
	ID   string `json:"id"`
	Pkg  string `json:"pkg"`
	Name string `json:"name"`
	Kind string `json:"kind"`
	Sig  string `json:"sig"`
	Doc  string `json:"doc"`
}

var library = []symbol{
	{"text.Join", "text", "Join", "func", "func Join(list []string, sep string) string", "Join concatenates the elements of a list. The separator stands between them."},
	{"text.Split", "text", "Split", "func", "func Split(s, sep string) []string", "Split cuts a string into the parts between separators."},
	{"text.Fields", "text", "Fields", "func", "func Fields(s string) []string", "Fields cuts a string around white space.\n\nIt \"never\" returns empty parts."},
	{"files.ReadAll", "files", "ReadAll", "func", "func ReadAll(name string) ([]byte, error)", "ReadAll returns what a file holds."},
	{"files.Reader", "files", "Reader", "type", "type Reader struct", "A Reader reads files piece by piece. Reading continues where it stopped."},
	{"files.Old", "files", "Old", "func", "func Old()", "Old reads a file.\n\nDeprecated: use ReadAll."},
	{"wire.Listen", "wire", "Listen", "func", "func Listen(address string) error", "Listen waits for connections."},
}

func corpus(list []symbol) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for _, s := range list {
		enc.Encode(s)
	}
	return []byte(b.String())
}

type result struct {
	Question *string
	Terms    []json.RawMessage
	Hits     []found
}

type found struct {
	ID, Pkg, Name, Kind, Sig, Summary string
	Deprecated                        bool
	Score                             float64
}

func search(t *testing.T, n *nodetest.Node, in string) result {
	t.Helper()
	var r result
	if err := json.Unmarshal([]byte(n.Process(in)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func ids(r result) string {
	var list []string
	for _, h := range r.Hits {
		list = append(list, h.ID)
	}
	return strings.Join(list, " ")
}

func withLibrary(t *testing.T, config string) *nodetest.Node {
	return nodetest.New(t, New, config, &nodetest.Host{Assets: map[string][]byte{"corpus": corpus(library)}})
}

func TestFindsWhatIsAskedFor(t *testing.T) {
	n := withLibrary(t, `{"stem":"porter"}`)
	for question, want := range map[string]string{
		"concatenate a list":        "text.Join",
		"cut string at white space": "text.Fields",
		"readall":                   "files.ReadAll",
		"wait for a connection":     "wire.Listen",
		"reads piece by piece":      "files.Reader",
	} {
		r := search(t, n, `{"question":"`+question+`"}`)
		if len(r.Hits) == 0 || r.Hits[0].ID != want {
			t.Errorf("%s: %s, want %s first", question, ids(r), want)
		}
	}
	if r := search(t, n, `{"question":"zebra"}`); len(r.Hits) != 0 || r.Hits == nil {
		t.Errorf("zebra: %v, want an empty list", r.Hits)
	}
}

func TestHit(t *testing.T) {
	n := withLibrary(t, `{"depth":1}`)
	h := search(t, n, `{"question":"x","terms":["fields","x"]}`).Hits[0]
	if h.ID != "text.Fields" || h.Pkg != "text" || h.Name != "Fields" || h.Kind != "func" || h.Sig != library[2].Sig ||
		h.Summary != "Fields cuts a string around white space." || h.Deprecated || h.Score <= 0 {
		t.Errorf("hit %+v", h)
	}
	if h := search(t, n, `{"terms":["old"]}`).Hits[0]; !h.Deprecated {
		t.Errorf("hit %+v is not deprecated", h)
	}
}

// TestScore computes BM25F for one word by the formula.
func TestScore(t *testing.T) {
	const k1, b = 1.4, 0.6
	w := [fields]float64{3, 0.5, 0.25, 2, 1}
	n := withLibrary(t, `{"k1":1.4,"b":0.6,"w_name":3,"w_pkg":0.5,"w_sig":0.25,"w_first":2,"w_doc":1}`)
	var tf, length []float64
	var sum, df float64
	for _, s := range library {
		first := words.FirstSentence([]byte(s.Doc))
		var cut words.Cutter
		var f, l float64
		for i, text := range []string{s.Name, s.Pkg, s.Sig, s.Doc[:first], s.Doc[first:]} {
			seq := cut.Parts
			if i == 0 {
				seq = cut.Names
			}
			for word := range seq([]byte(text)) {
				l += w[i]
				if string(word) == "string" {
					f += w[i]
				}
			}
		}
		tf, length, sum = append(tf, f), append(length, l), sum+l
		if f > 0 {
			df++
		}
	}
	count := float64(len(library))
	r := search(t, n, `{"terms":[{"t":"string","w":0.5}]}`)
	if len(r.Hits) != int(df) {
		t.Fatalf("%d hits, want %v", len(r.Hits), df)
	}
	for _, h := range r.Hits {
		i := slices.IndexFunc(library, func(s symbol) bool { return s.ID == h.ID })
		want := 0.5 * math.Log(1+(count-df+0.5)/(df+0.5)) * tf[i] * (k1 + 1) / (tf[i] + k1*(1-b+b*length[i]/(sum/count)))
		if math.Abs(h.Score-want) > 1e-4 {
			t.Errorf("%s scores %v, want %v", h.ID, h.Score, want)
		}
	}
}

// TestStemmersShareOneIndex asks for an inflected word under each stemmer on one
// live node.
func TestStemmersShareOneIndex(t *testing.T) {
	n := withLibrary(t, "")
	for _, x := range []struct{ stem, want string }{
		{"none", "files.Old files.Reader"}, {"porter", "files.Old files.Reader files.ReadAll"}, {"none", "files.Old files.Reader"},
	} {
		n.Configure(`{"stem":"` + x.stem + `","w_name":0,"w_sig":0}`)
		if got := ids(search(t, n, `{"terms":["reads"]}`)); got != x.want {
			t.Errorf("%s: %s, want %s", x.stem, got, x.want)
		}
	}
	for stem, want := range map[string]string{"none": "", "light": "wire.Listen", "porter": "wire.Listen"} {
		n.Configure(`{"stem":"` + stem + `"}`)
		if got := ids(search(t, n, `{"terms":["connection"]}`)); got != want {
			t.Errorf("connection by %s: %q, want %q", stem, got, want)
		}
	}
	n.Configure(`{"stem":"porter"}`)
	once, twice := n.Process(`{"terms":["reading"]}`), n.Process(`{"terms":["reading","reads"]}`)
	var a, b result
	json.Unmarshal([]byte(once), &a)
	json.Unmarshal([]byte(twice), &b)
	if ids(a) != ids(b) || a.Hits[0].Score != b.Hits[0].Score {
		t.Errorf("two words of one stem count twice: %s %s", once, twice)
	}
}

func TestWeightsAndDepth(t *testing.T) {
	n := withLibrary(t, `{"w_name":0,"w_sig":0,"w_first":0,"w_doc":0,"w_pkg":1}`)
	if got := ids(search(t, n, `{"terms":["files","join"]}`)); got != "files.ReadAll files.Reader files.Old" {
		t.Errorf("only packages count: %s", got)
	}
	n.Configure(`{"depth":2,"w_name":0,"w_sig":0,"w_first":0,"w_doc":0,"w_pkg":1}`)
	if got := ids(search(t, n, `{"terms":["files"]}`)); got != "files.ReadAll files.Reader" {
		t.Errorf("depth 2: %s", got)
	}
	n.Configure(`{"w_name":0,"w_sig":0,"w_first":0,"w_doc":0,"w_pkg":0}`)
	if got := ids(search(t, n, `{"terms":["files"]}`)); got != "" {
		t.Errorf("nothing counts: %s", got)
	}
	r := search(t, n, `{"question":"q","terms":["a",{"t":"b","w":0.25}]}`)
	if *r.Question != "q" || len(r.Terms) != 2 || string(r.Terms[0]) != `"a"` || string(r.Terms[1]) != `{"t":"b","w":0.25}` {
		t.Errorf("question and terms are not handed on: %+v", r)
	}
}

func TestRefuses(t *testing.T) {
	n := withLibrary(t, "")
	for _, in := range []string{`{`, `{}`, `[]`, `{"question":1}`, `{"terms":[1]}`, `{"terms":[""]}`, `{"terms":[{"t":"a"}]}`, `{"terms":[{"t":"a","w":2}]}`} {
		n.WantFault(in, fault.Invalid)
	}
	n.WantFault(`{"terms":[`+strings.Repeat(`"a",`, 256)+`"a"]}`, fault.Limit)
	if err := n.TryConfigure(`{"asset":"other"}`); !fault.Is(err, fault.NotFound) {
		t.Errorf("another asset: %v", err)
	}
	for text, want := range map[string]string{
		"":                               "no entry",
		"\n \n":                          "no entry",
		`{"id":"a"}` + "\n{":             "line 2",
		`{"pkg":"a"}`:                    "id: missing",
		`{"id":""}`:                      "id: missing",
		`{"id":"a","doc":1}`:             "doc: is a number",
		"\n\n" + `{"id":"a","sig":null}`: "line 3",
	} {
		_, err := build([]byte(text), "assets.corpus")
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("corpus %q: %v, want an invalid fault with %q", text, err, want)
		}
	}
	if x, err := build([]byte(`{"id":"a"}`), ""); err != nil || len(x.docs) != 1 {
		t.Errorf("only an id: %v", err)
	}
}

// random returns a library of n symbols made of few words.
func random(seed uint64, n int) []symbol {
	r := rand.New(rand.NewPCG(seed, 1))
	vocab := strings.Fields("read reads reading write writes file files open close parse format string bytes list map time")
	some := func(n int) string {
		var b []string
		for range n {
			b = append(b, vocab[r.IntN(len(vocab))])
		}
		return strings.Join(b, " ")
	}
	var list []symbol
	for i := range n {
		list = append(list, symbol{fmt.Sprint("p.S", i), some(1), some(1 + r.IntN(2)), "func", some(r.IntN(6)), some(r.IntN(9)) + ". " + some(r.IntN(70))})
	}
	return list
}

// TestLiveNodeEqualsFreshNode changes settings at random on one node and compares
// each answer with a new node's.
func TestLiveNodeEqualsFreshNode(t *testing.T) {
	host := &nodetest.Host{Assets: map[string][]byte{"corpus": corpus(random(7, 200))}}
	live := nodetest.New(t, New, "", host)
	r := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		config := fmt.Sprintf(`{"stem":%q,"k1":%v,"b":%v,"w_name":%d,"w_doc":%v,"depth":%d}`,
			[]string{"none", "light", "porter"}[r.IntN(3)], 0.4+r.Float64(), r.Float64(), r.IntN(4), r.Float64(), 1+r.IntN(60))
		live.Configure(config)
		in := `{"terms":["reads","format",{"t":"file","w":0.5}]}`
		got, want := live.Process(in), nodetest.New(t, New, config, host).Process(in)
		if got != want {
			t.Fatalf("%s\nlive  %s\nfresh %s", config, got, want)
		}
		var x result
		if err := json.Unmarshal([]byte(got), &x); err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(x.Hits, func(a, b found) int { return cmp.Compare(b.Score, a.Score) }) {
			t.Fatalf("hits are not in order: %s", got)
		}
	}
}

// FuzzBuild checks that no text crashes the index or a search in it.
func FuzzBuild(f *testing.F) {
	f.Add(corpus(library))
	f.Add([]byte(`{"id":"a\u0000","name":"\ud800","doc":"x\n\ny"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n := nodetest.New(t, New, "", &nodetest.Host{Assets: map[string][]byte{"corpus": corpus(library), "fuzz": text}})
		if err := n.TryConfigure(`{"asset":"fuzz","stem":"porter"}`); err != nil {
			return
		}
		n.Process(`{"terms":["reads","x"]}`)
	})
}

func BenchmarkQuery(b *testing.B) {
	n := nodetest.New(b, New, `{"stem":"porter"}`, &nodetest.Host{Assets: map[string][]byte{"corpus": corpus(random(7, 5000))}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.TryProcess(`{"terms":["reads","format",{"t":"file","w":0.5}]}`); err != nil {
			b.Fatal(err)
		}
	}
}
