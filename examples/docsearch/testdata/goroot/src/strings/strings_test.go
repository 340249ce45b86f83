package strings

// OnlyInTests must not appear.
func OnlyInTests() {}
