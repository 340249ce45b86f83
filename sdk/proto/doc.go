// Package proto is the wire contract between Spark and its plugins, version 1:
// the messages and services of the .proto files beside it, compiled to Go.
//
// Authors rarely need it: sdk/backend and sdk/model wrap these services in plain
// Go interfaces, and sdk/plugin serves them. Authors in other languages start
// from the .proto files.
//
// The generated files are made, and with -check compared, by
//
//	go run -C tools ./protogen
package proto
