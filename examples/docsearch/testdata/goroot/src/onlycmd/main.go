package main

// Exported must not appear.
func Exported() {}
