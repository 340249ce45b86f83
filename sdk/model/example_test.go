package model_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// shouter is a provider with one model, which repeats the last message loudly.
type shouter struct{}

func (shouter) Info(context.Context) (model.Info, error) {
	free := 0.0
	return model.Info{Name: "shouter", Version: "1.0.0", Models: []model.Model{{ID: "loud", InputCost: &free, OutputCost: &free}}}, nil
}

func (shouter) Generate(_ context.Context, r *model.Request) (*model.Response, error) {
	if r.Model != "loud" {
		return nil, fault.New(fault.NotFound, "model", "there is no model %q", r.Model).WithHint("ask for loud")
	}
	text := strings.ToUpper(r.Messages[len(r.Messages)-1].Content)
	words := int64(len(strings.Fields(text)))
	return &model.Response{Text: text, FinishReason: model.FinishStop, InputTokens: words, OutputTokens: words}, nil
}

// A whole plugin: main serves the provider until the host ends it. Started by
// hand it says that it is a plugin.
func ExampleServe() {
	if err := model.Serve(shouter{}); err != nil {
		fmt.Fprintln(os.Stdout, err.(*fault.Error).Msg)
	}
	// Output: this program is a plugin and was not started by spark
}
