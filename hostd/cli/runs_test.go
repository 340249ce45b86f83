package cli_test

import (
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

var idOf = regexp.MustCompile(`"id": "([0-9a-f]{32})"`)

// firstID NAME sets a variable to the first id that the last command printed.
func firstID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: firstid NAME")
	}
	m := idOf.FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("the last command printed no id")
	}
	ts.Setenv(args[0], m[1])
}
