//go:build go1.98 && amd64 && cgo && !goexperiment.shapes

package shapes

// Future needs a newer Go than any that builds this test.
func Future() {}
