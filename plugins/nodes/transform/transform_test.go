package transform

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

const input = `{"q":"What is \"IT\"?","hits":[{"id":"a","s":0.9,"tags":["x","y"]},{"id":"b","s":0.2,"tags":["y"]},{"id":"c","s":0.7}],
	"n":{"x y":1,"z":null},"json":"[1,2]","num":" 12.50 ","nested":[[1,2],3,[4]],"words":["b","a","b"]}`

func TestExpressions(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	n.Want(`{"a":1}`, `{"a":1}`)
	for expr, want := range map[string]string{
		`$.q`:                                        `"What is \"IT\"?"`,
		`$.hits.0.id`:                                `"a"`,
		`$.hits.-1.id`:                               `"c"`,
		`$.hits.*.id`:                                `["a","b","c"]`,
		`$.hits.*.tags`:                              `[["x","y"],["y"]]`,
		`$.hits.*.tags.*`:                            `["x","y","y"]`,
		`$.hits.*.tags.0`:                            `["x","y"]`,
		`$.n."x y"`:                                  `1`,
		`$.n.*`:                                      `[1,null]`,
		`$.n.z`:                                      `null`,
		`$.n.z | default 3`:                          `3`,
		`$.nothing.at.all | default "x y"`:           `"x y"`,
		`$.hits | length`:                            `3`,
		`$.q|length`:                                 `13`,
		`$.hits | take 1 | pick id`:                  `[{"id":"a"}]`,
		`$.hits | skip 2 | drop s`:                   `[{"id":"c"}]`,
		`$.hits.1 | pick id s`:                       `{"id":"b","s":0.2}`,
		`$.hits | take 99 | length`:                  `3`,
		`$.hits | skip 99`:                           `[]`,
		`$.hits | sort s | pick id`:                  `[{"id":"b"},{"id":"c"},{"id":"a"}]`,
		`$.hits | sort s desc | take 1`:              `[{"id":"a","s":0.9,"tags":["x","y"]}]`,
		`$.words | sort`:                             `["a","b","b"]`,
		`$.words | sort desc`:                        `["b","b","a"]`,
		`$.words | unique`:                           `["b","a"]`,
		`$.words | reverse | join ", "`:              `"b, a, b"`,
		`$.words | join`:                             `"bab"`,
		`$.hits | where s > 0.5 | length`:            `2`,
		`$.hits | where s <= 0.2 | length`:           `1`,
		`$.hits | where id == "b" | pick id`:         `[{"id":"b"}]`,
		`$.hits | where id != b | length`:            `2`,
		`$.hits | where tags contains "y" | pick id`: `[{"id":"a"},{"id":"b"}]`,
		`$.words | where . contains b | length`:      `2`,
		`$.hits | where tags.0 == y | pick id`:       `[{"id":"b"}]`,
		`$.hits.*.s | sum`:                           `1.8`,
		`$.hits.*.s | mean`:                          `0.6`,
		`$.hits.*.s | min`:                           `0.2`,
		`$.hits.*.s | max`:                           `0.9`,
		`$.hits.*.none | max | default 0`:            `0`,
		`$.n | keys`:                                 `["x y","z"]`,
		`$.n | values`:                               `[1,null]`,
		`$.q | lower`:                                `"what is \"it\"?"`,
		`$.q | upper | split " "`:                    `["WHAT","IS","\"IT\"?"]`,
		`$.num | trim`:                               `"12.50"`,
		`$.num | number`:                             `12.5`,
		`$.json | parse`:                             `[1,2]`,
		`$.nested | text`:                            `"[[1,2],3,[4]]"`,
		`$.nested | flatten`:                         `[1,2,3,4]`,
		`$$.q`:                                       `"$.q"`,
		`@@`:                                         `"@"`,
		`plain`:                                      `"plain"`,
	} {
		config := nodetestConfig(expr)
		if err := n.TryConfigure(config); err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		n.Want(input, `{"v":`+want+`}`)
	}
	n.Configure(`{"output":"$.q"}`)
	n.Want(`{"q":[1]}`, `[1]`)
}

// nodetestConfig returns settings that put the value of expr under v.
func nodetestConfig(expr string) string {
	return `{"output":{"v":"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(expr) + `"}}`
}

func TestShapes(t *testing.T) {
	n := nodetest.New(t, New, `{"output":{"list":[1,"$.q",[],{"deep":{"x":"$.n.z"}}],"$dollar":true,
		"each":{"$each":"$.hits | take 2","$as":{"id":"@.id","q":"$.json","tags":{"$each":"@.tags","$as":"@ | upper"}}}}}`, nil)
	n.Want(input, `{"list":[1,"What is \"IT\"?",[],{"deep":{"x":null}}],"$dollar":true,
		"each":[{"id":"a","q":"[1,2]","tags":["X","Y"]},{"id":"b","q":"[1,2]","tags":["Y"]}]}`)
	n.Configure(`{"output":{"a":"$.none","b":["$.none",1],"c":{"$each":"$.none","$as":1}},"missing":"null"}`)
	n.Want(input, `{"a":null,"b":[null,1],"c":[]}`)
	n.Configure(`{"output":{"a":"$.none","b":["$.none",1],"c":{"$each":"$.none","$as":1}},"missing":"omit"}`)
	n.Want(input, `{"b":[1]}`)
	n.Configure(`{"output":"$.none","missing":"omit"}`)
	n.Want(input, `null`)
	n.Configure(`{"output":{"a":"$.none"}}`)
	n.WantFault(input, fault.Rejected)
	n.Configure(`{"output":{"$each":"$.q","$as":1}}`)
	n.WantFault(input, fault.Rejected)
	n.WantFault(`{`, fault.Invalid)
}

func TestRefusals(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	for expr, want := range map[string]string{
		`$.`:                "config.output.v: want a name at character 3",
		`$x`:                "want a step of the path or a | at character 2",
		`$.a | nothing`:     `no function "nothing", there are default, drop,`,
		`$.a |`:             `no function ""`,
		`$.a | take`:        "take takes a number, not 0 arguments",
		`$.a | take x`:      "take takes a number: it is no integer",
		`$.a | take 1 2`:    "not 2 arguments",
		`$.a | where x ~ 1`: "~ is none",
		`$."a`:              "text without an end",
		`$.a | split ""`:    "it is empty",
		`@.a`:               "outside of $as",
	} {
		if err := n.TryConfigure(nodetestConfig(expr)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expr, err, want)
		}
	}
	for _, bad := range []string{`[1]`, `1`, `{"$each":"$.a"}`, `{"$each":"plain","$as":1}`, `{"a":{"$as":1}}`,
		strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40)} {
		if err := n.TryConfigure(`{"output":` + bad + `}`); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
	for _, expr := range []string{`$.q | take 1`, `$.q | keys`, `$.hits | lower`, `$.hits | sum`, `$.words | sum`, `$.q | number`,
		`$.q | parse`, `$.n.z | length`, `$.words | pick a`, `$.hits | number`} {
		n.Configure(nodetestConfig(expr))
		if _, err := n.TryProcess(input); !fault.Is(err, fault.Rejected) && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

// FuzzTransform checks that no expression crashes and that what comes out is
// JSON.
func FuzzTransform(f *testing.F) {
	f.Add(`$.hits | where s > 0.5 | sort id desc | take 1 | pick id`)
	f.Add(`$.hits.*.tags.* | unique | join ","`)
	f.Add(`$."a\u0020b".-1.* | default "x"`)
	n := nodetest.New(f, New, "", nil)
	f.Fuzz(func(t *testing.T, expr string) {
		for _, ch := range []byte(expr) {
			if ch < 0x20 || ch >= 0x7f {
				return
			}
		}
		if n.TryConfigure(nodetestConfig(expr)) != nil {
			return
		}
		out, err := n.TryProcess(input)
		if err == nil && !nodetest.Same(out, out) {
			t.Fatalf("%s gave %s", expr, out)
		}
	})
}
