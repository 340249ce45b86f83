// Command stock is the module of Spark's stock node types.
package main

import (
	"github.com/sparkrsi/spark/plugins/nodes/bm25"
	"github.com/sparkrsi/spark/plugins/nodes/classify"
	"github.com/sparkrsi/spark/plugins/nodes/contains"
	"github.com/sparkrsi/spark/plugins/nodes/dedupe"
	"github.com/sparkrsi/spark/plugins/nodes/echo"
	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/plugins/nodes/expand"
	"github.com/sparkrsi/spark/plugins/nodes/format"
	"github.com/sparkrsi/spark/plugins/nodes/generate"
	"github.com/sparkrsi/spark/plugins/nodes/jsonpath"
	"github.com/sparkrsi/spark/plugins/nodes/merge"
	"github.com/sparkrsi/spark/plugins/nodes/mrr"
	"github.com/sparkrsi/spark/plugins/nodes/numeric"
	"github.com/sparkrsi/spark/plugins/nodes/overlap"
	"github.com/sparkrsi/spark/plugins/nodes/regex"
	"github.com/sparkrsi/spark/plugins/nodes/request"
	"github.com/sparkrsi/spark/plugins/nodes/rerank"
	"github.com/sparkrsi/spark/plugins/nodes/split"
	"github.com/sparkrsi/spark/plugins/nodes/template"
	"github.com/sparkrsi/spark/plugins/nodes/textnorm"
	"github.com/sparkrsi/spark/plugins/nodes/top"
	"github.com/sparkrsi/spark/plugins/nodes/transform"
	"github.com/sparkrsi/spark/sdk/node"
)

var types = map[string]func() node.Node{
	"bm25":      bm25.New,
	"classify":  classify.New,
	"contains":  contains.New,
	"dedupe":    dedupe.New,
	"echo":      echo.New,
	"exact":     exact.New,
	"expand":    expand.New,
	"format":    format.New,
	"generate":  generate.New,
	"http_get":  request.Get,
	"http_send": request.Send,
	"json_path": jsonpath.New,
	"merge":     merge.New,
	"mrr":       mrr.New,
	"numeric":   numeric.New,
	"overlap":   overlap.New,
	"regex":     regex.New,
	"rerank":    rerank.New,
	"split":     split.New,
	"template":  template.New,
	"textnorm":  textnorm.New,
	"top":       top.New,
	"transform": transform.New,
}

func init() { node.Register(types) }

func main() {}
