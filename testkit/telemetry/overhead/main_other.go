//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "overhead: the clock of a thread and the kernel's account of the plugin's threads are read on Linux only")
	os.Exit(1)
}
