// Command spark is the daemon and the command line, with the stock node types and
// the built-in plugins inside: started as `spark plugin serve NAME` it is one.
package main

import (
	"os"
	"runtime/debug"

	"github.com/sparkrsi/spark/hostd/cli"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/plugins/backends/otlp"
	"github.com/sparkrsi/spark/plugins/backends/postgres"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/plugins/models/replay"
	"github.com/sparkrsi/spark/plugins/nodes"
)

// version is set by the linker for releases.
var version = ""

func main() {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		version = info.Main.Version
	}
	os.Exit(cli.Main(cli.Config{
		Version: version,
		Stock:   nodes.Stock,
		Plugins: map[string]func() error{
			"memory": memory.Serve, "sqlite": sqlite.Serve, "postgres": postgres.Serve, "otlp": otlp.Serve,
			"replay": replay.Serve,
		},
	}, os.Args[1:]))
}
