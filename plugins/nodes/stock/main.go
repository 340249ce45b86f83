// Command stock is the module of Spark's stock node types.
package main

import (
	"github.com/sparkrsi/spark/plugins/nodes/echo"
	"github.com/sparkrsi/spark/sdk/node"
)

var types = map[string]func() node.Node{
	"echo": echo.New,
}

func init() { node.Register(types) }

func main() {}
