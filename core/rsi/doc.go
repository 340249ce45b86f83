// Package rsi is the improvement cycle: it analyses what a graph's production
// runs left in telemetry, proposes changes, chooses among them on one set of
// inputs, confirms the winner on another, releases it and remembers.
//
// Start with [New], then [Improver.Analyze] or [Improver.Cycle]. The cycle is
// itself a graph document ([CycleDocument]) run by core/engine: its phases are
// the native nodes rsi.analyze, rsi.propose, rsi.screen, rsi.validate,
// rsi.experiment, rsi.release, rsi.hold and rsi.learn, its gates are edge
// conditions over their outputs. A user may pass an edited copy; the phases check
// what they need of each other, so a document without a gate releases nothing
// that was not validated and confirmed.
//
// Inputs are split once a cycle into SCREEN and CONFIRM. Candidates are compared
// on SCREEN only; the one that wins meets CONFIRM, interleaved with the version
// that is active, and core/stats decides. A candidate is never asked how good it
// is: latency, cost and success are measured by the host, quality by scorers
// outside the graph, and a metric that a node emits counts only while that node
// is the same in both arms.
//
// The package measures nothing by itself, opens nothing and stores nothing: the
// interfaces in deps.go are its whole view of the world. It reads policies and
// never changes one.
package rsi
