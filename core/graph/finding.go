package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The severities of a finding.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// String returns "line:column: severity: path: message" without the position
// when it is unknown. The hint is not part of it.
func (f Finding) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", f.Line, f.Column)
	}
	b.WriteString(f.Severity)
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path)
		b.WriteString(": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// HasErrors reports whether any finding is an error.
func (fs Findings) HasErrors() bool { return fs.firstError() >= 0 }

func (fs Findings) firstError() int {
	return slices.IndexFunc(fs, func(f Finding) bool { return f.Severity == SeverityError })
}

// String returns one line a finding and an indented line for each hint.
func (fs Findings) String() string {
	var b strings.Builder
	for _, f := range fs {
		b.WriteString(f.String())
		b.WriteByte('\n')
		if f.Hint != "" {
			b.WriteString("    hint: ")
			b.WriteString(f.Hint)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Err returns an Invalid fault made of the first error, with the number of
// further ones, or nil when there are only warnings. File names the document in
// the message and may be empty.
func (fs Findings) Err(file string) error {
	i := fs.firstError()
	if i < 0 {
		return nil
	}
	f, more := fs[i], 0
	for _, o := range fs[i+1:] {
		if o.Severity == SeverityError {
			more++
		}
	}
	where := file
	if f.Line > 0 {
		where = strings.TrimPrefix(fmt.Sprintf("%s:%d:%d", file, f.Line, f.Column), ":")
	}
	msg := f.Message
	if where != "" && f.Path != "" && f.Path != file {
		msg = f.Path + ": " + msg
	} else if where == "" {
		where = f.Path
	}
	if more > 0 {
		msg += fmt.Sprintf(" (and %d more)", more)
	}
	return fault.New(fault.Invalid, where, "%s", msg).WithHint("%s", f.Hint)
}

// position is where a part of a document starts, both counted from 1.
type position struct{ line, column int }

// positions maps document paths to where they start.
type positions map[string]position

// find returns the position of path or of its nearest known ancestor.
func (p positions) find(path string) position {
	for {
		if at, ok := p[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// sortFindings brings findings into document order, errors before warnings on
// the same spot, and drops exact repetitions.
func sortFindings(fs Findings) Findings {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		if a.Column != b.Column {
			return a.Column - b.Column
		}
		return strings.Compare(a.Severity, b.Severity)
	})
	return slices.Compact(fs)
}

// nearest returns the candidate that a mistyped word most likely meant, or "".
// Half the letters may differ at most, and never more than three.
func nearest(word string, candidates []string) string {
	best, bestDist := "", min(3, len(word)/2)+1
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
