// Package node is what a node module written in Go is made of. A module offers
// one or more node types: values of the interface Node, which take a JSON
// document and write a JSON document. Its main package names them once:
//
//	func init() { node.Register(map[string]func() node.Node{"greet": greet.New}) }
//
//	func main() {}
//
// The package sdk/node/modbuild compiles the module (GOOS=wasip1 GOARCH=wasm
// -buildmode=c-shared) and appends its manifest.
//
// Start with Node, Parse and Writer. A Value is a view of JSON text, a Writer
// appends JSON text: reflection, which costs a guest 0.7 ms a kilobyte, is not
// used, and a call that allocates nothing itself is not made to by the SDK.
// Everything a node may ask of the world outside its input goes through Host.
// The same node runs natively against the package sdk/node/nodetest, which is
// how to test it. docs/ABI.md describes what lies underneath.
package node
