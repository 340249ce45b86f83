// Command stock is the module of Spark's stock node types.
package main

import (
	"github.com/sparkrsi/spark/plugins/nodes/bm25"
	"github.com/sparkrsi/spark/plugins/nodes/echo"
	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/plugins/nodes/expand"
	"github.com/sparkrsi/spark/plugins/nodes/format"
	"github.com/sparkrsi/spark/plugins/nodes/generate"
	"github.com/sparkrsi/spark/plugins/nodes/mrr"
	"github.com/sparkrsi/spark/plugins/nodes/rerank"
	"github.com/sparkrsi/spark/plugins/nodes/template"
	"github.com/sparkrsi/spark/plugins/nodes/textnorm"
	"github.com/sparkrsi/spark/sdk/node"
)

var types = map[string]func() node.Node{
	"bm25":     bm25.New,
	"echo":     echo.New,
	"exact":    exact.New,
	"expand":   expand.New,
	"format":   format.New,
	"generate": generate.New,
	"mrr":      mrr.New,
	"rerank":   rerank.New,
	"template": template.New,
	"textnorm": textnorm.New,
}

func init() { node.Register(types) }

func main() {}
