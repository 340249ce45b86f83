// Package fmt is made up for tests.
package fmt

// Sprint returns its arguments as text.
//
// A second paragraph with <angles> & "quotes".
//
//go:noinline
func Sprint(a ...any) string { return "" }

// hidden is not exported.
func hidden() {}

func Undocumented() {}
