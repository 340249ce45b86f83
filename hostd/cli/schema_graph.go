package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/docs/schema"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) graphSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema [graph|policy]", Short: "Print the JSON Schema of graph or policy documents, for editors",
		Long: `Print the JSON Schema (2020-12) of graph documents, or of policy documents. An editor
that is given it completes keys and marks what the strict decoder would refuse;
` + "`spark graph lint`" + ` finds the rest. In a YAML file the first line
# yaml-language-server: $schema=graph.schema.json names it.`,
		Example:   "  spark graph schema > graph.schema.json\n  spark graph schema policy > policy.schema.json",
		Args:      arguments(0, 1),
		ValidArgs: []string{"graph", "policy"},
		RunE: func(_ *cobra.Command, args []string) error {
			text := schema.Graph
			if len(args) > 0 {
				switch args[0] {
				case "graph":
				case "policy":
					text = schema.Policy
				default:
					return fault.New(fault.Invalid, args[0], "there is no such schema").WithHint("one of graph, policy")
				}
			}
			_, err := io.WriteString(a.Stdout, text)
			return err
		},
	}
}
