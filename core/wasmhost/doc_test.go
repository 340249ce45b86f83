package wasmhost

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/node/abi"
)

// grouped writes n with a comma before every three digits.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// TestDocumentSaysLimits compares the numbers in docs/ABI.md with those that
// hold.
func TestDocumentSaysLimits(t *testing.T) {
	text, err := os.ReadFile("../../docs/ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(text)), " ") // wherever lines break
	says := func(format string, args ...any) {
		t.Helper()
		if want := fmt.Sprintf(format, args...); strings.Count(doc, want) != 1 {
			t.Errorf("docs/ABI.md says %d times, want once: %s", strings.Count(doc, want), want)
		}
	}
	def := Config{}.withDefaults()
	foreign, trusted := foreignLimits, trustedLimits
	says("| size of the module | %d MiB | %d MiB |", def.MaxModuleMiB, def.MaxTrustedMiB)
	says("| size of a function body | %s KiB | %s KiB |", grouped(foreign.body>>10), grouped(trusted.body>>10))
	for what, of := range map[string]func(limits) int{
		"targets of a `br_table`":                     func(l limits) int { return l.targets },
		"nesting of blocks in a function":             func(l limits) int { return l.nesting },
		"locals of a function, parameters included":   func(l limits) int { return l.locals },
		"parameters, and results, of a function type": func(l limits) int { return l.params },
		"functions, types, imports and exports, each": func(l limits) int { return l.funcs },
		"globals":                    func(l limits) int { return l.globals },
		"elements of a table":        func(l limits) int { return l.table },
		"control flow of a function": func(l limits) int { return l.flow },
		"control flow of the module, the sum of its functions": func(l limits) int { return l.allFlow },
		"calls of a function times globals":                    func(l limits) int { return l.reloads },
	} {
		says("| %s | %s | %s |", what, grouped(of(foreign)), grouped(of(trusted)))
	}
	if rows := strings.Count(string(text[strings.Index(string(text), "## 7."):strings.Index(string(text), "## 8.")]), "\n| "); rows != 1+12 {
		t.Errorf("the table of bounds has %d rows, this test knows 12", rows-1)
	}
	says("`E * (%d + L + W + E/%d) + N`", edgeWork, edgeGroup)
	says("(by default %d MiB, less when", def.MemoryMiB)
	says("parked ones included (%d MiB)", def.MaxPayloadMiB)
	says("a state above %d MiB, and the %s effect of one step", maxAwaitState>>20, grouped(maxAwaits+1)+"st")
	says("for which it has %.0f s of its own", def.StartTimeout.Seconds())
	says("a call may record %d of each kind; texts are cut at %s bytes", def.MaxEventsPerSpan, grouped(maxText))
	says("names and keys have at most %d bytes", maxName)
	says("an event has at most %d attributes in a document of %d KiB", maxEventAttrs, maxEventDoc>>10)
	says("also on redirects, of which it follows at most %d;", maxRedirects)
	says("bounds the time (by default %.0f s, and the time of the step)", def.HTTPTimeout.Seconds())
	says("parks a text of at most %s bytes", grouped(maxDetail))
}

// TestDocumentNamesKeys: every key of the documents that cross the boundary is
// named, with a question mark where it may be absent.
func TestDocumentNamesKeys(t *testing.T) {
	text, err := os.ReadFile("../../docs/ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{abi.Run{}, abi.GenerateRequest{}, abi.Message{}, abi.GenerateResponse{}, abi.HTTPRequest{}, abi.HTTPResponse{}} {
		for typ, i := reflect.TypeOf(v), 0; i < typ.NumField(); i++ {
			key, rest, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			want := `"` + key + `"`
			if strings.Contains(rest, "omitempty") {
				want += "?"
			}
			if !strings.Contains(string(text), want) {
				t.Errorf("docs/ABI.md does not name %s of %s", want, typ.Name())
			}
		}
	}
}
