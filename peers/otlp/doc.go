// Package otlp holds Spark's OTLP backend against the receiver of the OpenTelemetry
// Collector. It is a module of its own: Spark does not depend on the Collector.
//
//	go test -C peers/otlp ./...
package otlp
