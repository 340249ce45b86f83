package generate

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestGenerate(t *testing.T) {
	var asked abi.GenerateRequest
	var fails error
	host := &nodetest.Host{Generate: func(r abi.GenerateRequest) (abi.GenerateResponse, error) {
		asked = r
		return abi.GenerateResponse{Text: "An \"answer\".", Model: "m-1", FinishReason: "stop", InputTokens: 7, OutputTokens: 3, CostUSD: 0.001}, fails
	}}
	n := nodetest.New(t, New, `{"model":"m","system":"Be brief.","prompt":"Explain {{topic}}.","max_tokens":50,"temperature":0.5}`, host)
	n.Want(`{"topic":"fuel"}`, `{"text":"An \"answer\".","model":"m-1","finish_reason":"stop","usage":{"input_tokens":7,"output_tokens":3,"cost_usd":0.001}}`)
	if asked.Model != "m" || asked.System != "Be brief." || asked.Messages[0].Content != "Explain fuel." || asked.MaxTokens != 50 ||
		asked.Temperature == nil || *asked.Temperature != 0.5 {
		t.Errorf("asked %+v", asked)
	}
	n.WantFault(`{}`, fault.Rejected)
	fails = fault.New(fault.Unavailable, "provider", "is down")
	if _, err := n.TryProcess(`{"topic":"x"}`); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "is down") {
		t.Errorf("error %v", err)
	}
	host.Generate = nil
	n.WantFault(`{"topic":"x"}`, fault.Denied)
	for _, bad := range []string{`{}`, `{"model":"m"}`, `{"model":"m","prompt":""}`, `{"model":"","prompt":"p"}`, `{"model":"m","prompt":"{{"}`, `{"model":""}`} {
		if err := n.TryConfigure(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
