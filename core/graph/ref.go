package graph

import (
	"strings"

	"golang.org/x/mod/semver"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Ref is a parsed module reference: a node type and a range of versions.
type Ref struct {
	Type  string
	Range Range
}

// Range is a set of semantic versions: exact "1.2.3", "^1.2" (the same major
// version, or the same minor below 1.0), "~1.2" (the same minor version), "*"
// or "" (any). Missing parts are 0. Prereleases match only an exact range or one
// that names a prerelease of the same version.
type Range string

const refHint = "write NAME@RANGE with a range such as ^1, ~1.2, 1.2.3 or *"

// ParseRef reads "name", "name@*", "name@1.2.3", "name@^1" or "name@~1.2".
func ParseRef(s string) (Ref, error) {
	name, rng, at := strings.Cut(s, "@")
	if !validName.MatchString(name) {
		return Ref{}, fault.New(fault.Invalid, "", "%q names no module", s).WithHint(refHint)
	}
	r := Range(rng)
	if at && rng == "" || !r.valid() {
		return Ref{}, fault.New(fault.Invalid, "", "%q has no valid version range", s).WithHint(refHint)
	}
	return Ref{Type: name, Range: r}, nil
}

// String returns the reference in the form that ParseRef reads.
func (r Ref) String() string {
	if r.Range == "" {
		return r.Type
	}
	return r.Type + "@" + string(r.Range)
}

func (r Range) valid() bool {
	if r == "" || r == "*" {
		return true
	}
	op, base := r.split()
	return semver.IsValid(base) && (op != "" || semver.Canonical(base) == base || strings.Contains(base, "+"))
}

func (r Range) split() (op, base string) {
	s := string(r)
	if strings.HasPrefix(s, "^") || strings.HasPrefix(s, "~") {
		op, s = s[:1], s[1:]
	}
	return op, "v" + s
}

// Match reports whether a semantic version (without the letter v) lies in r.
func (r Range) Match(version string) bool {
	v := "v" + version
	if !semver.IsValid(v) {
		return false
	}
	if r == "" || r == "*" {
		return semver.Prerelease(v) == ""
	}
	op, base := r.split()
	if !semver.IsValid(base) {
		return false
	}
	full := semver.Canonical(base)
	if op == "" {
		return semver.Compare(v, full) == 0
	}
	if pre := semver.Prerelease(v); pre != "" && (semver.Prerelease(full) == "" || unreleased(v) != unreleased(full)) {
		return false
	}
	if semver.Compare(v, full) < 0 {
		return false
	}
	switch same := semver.Major(v) == semver.Major(full); {
	case op == "~" && strings.Contains(base, "."), op == "^" && semver.Major(full) == "v0" && strings.Contains(base, "."):
		return semver.MajorMinor(v) == semver.MajorMinor(full)
	default:
		return same
	}
}

// unreleased returns a version without its prerelease.
func unreleased(v string) string {
	return strings.TrimSuffix(semver.Canonical(v), semver.Prerelease(v))
}

// Best returns the highest of versions that lies in r, or "".
func (r Range) Best(versions []string) string {
	best := ""
	for _, v := range versions {
		if r.Match(v) && (best == "" || semver.Compare("v"+v, "v"+best) > 0) {
			best = v
		}
	}
	return best
}
