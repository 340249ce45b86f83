package regex

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestRegex(t *testing.T) {
	n := nodetest.New(t, New, `{"pattern":"^[a-z]+ \\d{3}$"}`, nil)
	yes, no := `{"score":1,"comment":"matches"}`, `{"score":0,"comment":"does not match"}`
	n.Want(`{"output":"abc 123"}`, yes)
	n.Want(`{"output":"abc 1234"}`, no)
	n.Want(`{"output":7}`, no)
	n.WantFault(`x`, fault.Invalid)
	n.Configure(`{"path":"text","expected":"re"}`)
	n.Want(`{"expected":{"re":"\\bfox\\b"},"output":{"text":"the fox"}}`, yes)
	n.Want(`{"expected":{"re":"dog"},"output":{"text":"the fox"}}`, no)
	n.Want(`{"expected":{"re":"dog"},"output":{}}`, `{"score":0,"comment":"the output has no value at text"}`)
	n.WantFault(`{"expected":{"re":"("},"output":{"text":""}}`, fault.Invalid)
	n.WantFault(`{"expected":{"re":1},"output":{"text":""}}`, fault.Invalid)
	n.WantFault(`{"output":{"text":""}}`, fault.Invalid)
	n.WantFault(`{"expected":{"re":"`+strings.Repeat("a", maxPattern+1)+`"},"output":{"text":""}}`, fault.Limit)
	if _, err := n.TryProcess(`{"expected":{"re":"("},"output":{"text":""}}`); !strings.HasPrefix(err.Error(), "expected.re: is no regular expression: error parsing") {
		t.Errorf("%v", err)
	}
	if err := n.TryConfigure(`{"pattern":"a)(b","whole":true}`); !fault.Is(err, fault.Invalid) {
		t.Errorf("a pattern that is none by itself: %v", err)
	}
	n.Configure(`{"pattern":"a|ab","whole":true}`)
	n.Want(`{"output":"ab"}`, yes)
	n.Want(`{"output":"abc"}`, no)
	n.Configure(`{"pattern":"sorry","negate":true}`)
	n.Want(`{"output":"fine"}`, `{"score":1,"comment":"does not match"}`)
	if err := n.TryConfigure(`{"pattern":"["}`); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "config.pattern") {
		t.Errorf("%v", err)
	}
}
