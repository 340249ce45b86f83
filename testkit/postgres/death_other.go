//go:build !linux

package postgres

import "syscall"

func deathSignal() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
