package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/sparkrsi/spark/hostd/demo"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/plugins/nodes"
	"github.com/sparkrsi/spark/sdk/fault"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		fmt.Fprintln(os.Stderr, sqlite.Serve())
		return
	}
	wasm, err := nodes.Stock()
	if err != nil {
		panic(err)
	}
	r, err := demo.Run(context.Background(), demo.Options{Stock: [][]byte{wasm}, Seed: 1, Show: &demo.Printer{W: os.Stdout},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Println("ERR", err, "\n hint", fault.HintOf(err))
		os.Exit(1)
	}
	b, _ := json.MarshalIndent(r, "", " ")
	os.WriteFile("/tmp/demo.json", b, 0o600)
}
