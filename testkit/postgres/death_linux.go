package postgres

import "syscall"

// deathSignal ends the child, by a fast shutdown, when the thread that started it
// ends without having stopped it.
func deathSignal() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT} }
