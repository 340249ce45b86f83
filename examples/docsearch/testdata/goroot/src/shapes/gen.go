//go:build ignore

package main

// Generate must not appear.
func Generate() {}
