package classify

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

const rulesDoc = `[
	{"label":"billing","words":["invoice","Credit Card","refund"]},
	{"label":"billing","pattern":"(?i)\\bcharg(e|ed)\\b","weight":0.5},
	{"label":"outage","words":["down","not reachable"],"weight":2},
	{"label":"outage","words":["down payment"],"weight":-2}]`

func TestClassify(t *testing.T) {
	n := nodetest.New(t, New, `{"rules":`+rulesDoc+`}`, nil)
	n.Want(`{"text":"My CREDIT-card was charged twice, refund me"}`, `{"label":"billing","score":1.5,"labels":[{"label":"billing","score":1.5}]}`)
	n.Want(`{"text":"The invoice page is down"}`, `{"label":"outage","score":2,"labels":[{"label":"outage","score":2},{"label":"billing","score":1}]}`)
	n.Want(`{"text":"a down payment"}`, `{"label":"other","score":0,"labels":[]}`)
	n.Want(`{"text":"credit cards, invoices, meltdown"}`, `{"label":"other","score":0,"labels":[]}`)
	n.Want(`{"text":"not reachable"}`, `{"label":"outage","score":2,"labels":[{"label":"outage","score":2}]}`)
	n.Want(`{"text":""}`, `{"label":"other","score":0,"labels":[]}`)
	n.WantFault(`{"text":1}`, fault.Invalid)
	n.WantFault(`{`, fault.Invalid)
	n.Configure(`{"rules":` + rulesDoc + `,"field":"a.b","threshold":0.5,"margin":2,"fallback":"unsure"}`)
	n.Want(`{"a":{"b":"charged for a site that is down"}}`, `{"label":"unsure","score":0,"labels":[{"label":"outage","score":2},{"label":"billing","score":0.5}]}`)
}

func TestRefusals(t *testing.T) {
	n := nodetest.New(t, New, `{"rules":`+rulesDoc+`}`, nil)
	for config, want := range map[string]string{
		`{}`:                          "config.rules: is nothing",
		`{"rules":[]}`:                "one or more rules",
		`{"rules":[{"words":["a"]}]}`: "config.rules.0: has no label",
		`{"rules":[{"label":"x"}]}`:   "neither words nor a pattern",
		`{"rules":[{"label":"x","pattern":"("}]}`:              "config.rules.0.pattern",
		`{"rules":[{"label":"x","words":["!"]}]}`:              "config.rules.0.words",
		`{"rules":[{"label":"x","words":["a"],"weight":"1"}]}`: "config.rules.0.weight",
		`{"rules":[{"label":"x","words":["a"],"wieght":1}]}`:   "config.rules.0.wieght: is unknown",
		`{"rules":[` + strings.Repeat("0,", maxRules) + `0]}`:  "limit 500",
	} {
		if err := n.TryConfigure(config); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", config, err, want)
		}
	}
	n.Configure(`{"rules":` + rulesDoc + `}`)
	n.Want(`{"text":"refund"}`, `{"label":"billing","score":1,"labels":[{"label":"billing","score":1}]}`)
}
