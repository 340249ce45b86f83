// Package stats decides whether a candidate is better than a baseline.
//
// Start at [Design]: it names the objectives of one offline experiment, how many pairs of runs it may spend and what it
// risks. [NewExperiment] turns it into an [Experiment] that takes one [Pair] per input and, at the looks planned in
// advance, answers continue, pass, fail or inconclusive. [Experiment.Report] is what a person reads and what is stored.
//
// The test is paired and group-sequential. Every input is run by both arms; the improvement of an input is a number
// (see [Kind]), several objectives are joined per input before testing, and the score of all inputs is held against
// boundaries that spend a one-sided error of 2.5 % over the looks. An identical candidate is promoted in at most 2.5 %
// of experiments however often one looks, and constraints are judged before objectives: a candidate that is faster
// because it fails, or because it stopped reporting, is not better.
//
// The parts stand alone as well: [Boundaries], [SignFlip], [SignedRank], [HodgesLehmann], [AnytimeT] for a horizon that
// is not known, [QuantileRatio] for percentiles with their uncertainty, [WeightedMean] and [WeightedQuantile] for
// sampled telemetry.
//
// The package never reads a clock, a file or a global source of randomness, never treats missing data as good data, and
// never panics on a number. Functions are safe for concurrent use; an Experiment belongs to one goroutine.
//
// Sources: Armitage, McPherson & Rowe 1969, J. R. Statist. Soc. A 132:235 (recursion); Lan & DeMets 1983, Biometrika
// 70:659, and Kim & DeMets 1987, Biometrika 74:149 (spending); O'Brien & Fleming 1979, Biometrics 35:549; Jennison &
// Turnbull 2000, Group Sequential Methods (repeated intervals, conditional power); Wilcoxon 1945, Biometrics Bull. 1:80;
// Hodges & Lehmann 1963, Ann. Math. Statist. 34:598; Lindon et al. 2022, Anytime-valid linear models (anytime t).
package stats
