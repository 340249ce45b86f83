package node

// Node is one instance of a node type. The SDK creates it, configures it at
// least once and then calls it with one document at a time, never concurrently.
type Node interface {
	// Configure takes the settings of the node in its graph, by reading every
	// key it knows from c. It may be called again at any time on a live node and
	// must then be cheap if what the node holds (an index, say) still serves.
	// After an error the node is not called until a later Configure succeeds.
	Configure(c *Config) error
	// Process reads the input document and writes one output document. The
	// bytes of in are valid until it returns and must not be changed; nobody
	// has checked that they are JSON: Parse does. The kind of an error's
	// outermost fault decides what becomes of the step; an error without one is
	// internal. A panic ends the module instance.
	Process(in []byte, out *Writer) error
}

// types are the node types of the module that this program is.
var types map[string]func() Node

// Register names the node types of this module. It is called once, from the
// init function of the module's main package; the map must not be changed
// afterwards.
func Register(t map[string]func() Node) { types = t }

// Registered returns what was registered: for tests that hold a module against
// its manifest. It must not be changed.
func Registered() map[string]func() Node { return types }
