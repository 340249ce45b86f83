package batchjson_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/batchjson"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// What a collector graph does to a batch is done before a backend sees it.
func ExampleThrough() {
	store, err := memory.New(memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	redact := func(_ context.Context, input []byte) ([]byte, error) {
		return bytes.ReplaceAll(input, []byte(`"team":"search"`), []byte(`"team":"***"`)), nil
	}
	ctx := context.Background()
	w := batchjson.Through(store, redact)
	if _, err := w.Write(ctx, &backend.Batch{ID: backend.ID{1}, Traces: backendtest.Samples(0, 1)}); err != nil {
		fmt.Println(err)
		return
	}
	for t := range store.Traces(ctx, backend.Filter{}) {
		fmt.Println(t.Attrs[1].Key, t.Attrs[1].Str)
	}
	// Output: team ***
}
