package x

// Excluded must not appear.
func Excluded() {}
