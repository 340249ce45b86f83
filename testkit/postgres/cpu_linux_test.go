package postgres

import (
	"testing"
	"time"
)

func TestCPU(t *testing.T) {
	s := Start(t)
	before := s.CPU(t)
	query(t, s, "SELECT sum(sqrt(n)) FROM generate_series(1, 2000000) n")
	if used := s.CPU(t) - before; used < 5*tick || used > time.Minute {
		t.Errorf("%s for a query of some 100 ms", used)
	}
}
