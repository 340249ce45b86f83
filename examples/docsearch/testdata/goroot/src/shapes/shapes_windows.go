package shapes

// OnlyWindows must not appear.
func OnlyWindows() {}
