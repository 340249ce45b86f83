package shapes

// OnlyLinux appears on every platform.
func OnlyLinux() {}
