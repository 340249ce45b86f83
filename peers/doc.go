// Package peers measures Spark beside other libraries that do the same work, in
// the same run on the same machine, so that the ratios hold where the absolute
// figures do not. It is a module of its own: Spark does not depend on its peers.
//
// The figures are benchmarks; cmd/bench runs them in interleaved rounds and
// prints one table of medians:
//
//	go run -C peers ./cmd/bench
//
// What the rows mean, and the figures of one machine, stand in
// docs/BENCHMARKS.md.
package peers
