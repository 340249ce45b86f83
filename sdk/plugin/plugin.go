// Package plugin turns a telemetry backend or a model provider into a process
// that Spark can run. An author calls Serve in main and nothing else; sdk/backend
// and sdk/model do so for implementations of their plain Go interfaces.
//
// The process speaks gRPC over a unix socket with mutual TLS. It ends when the
// host asks for it and when the host dies. Errors cross as faults with their
// kind and remedy; a panic in a call becomes an internal fault and the process
// lives on. Standard output belongs to the handshake: a plugin that prints before
// Serve cannot be started.
//
// The package knows nothing of what batches and queries hold.
package plugin

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/proto"
)

// Versions of the contract in sdk/proto that this SDK speaks. Host and plugin
// use the highest that both know.
const (
	Protocol = 1 // the current version
	Oldest   = 1 // the oldest version still served
)

// CookieKey and CookieValue are the environment variable by which a host tells
// an executable that it is started as a plugin. It guards against mistakes, not
// against attackers.
const (
	CookieKey   = "SPARK_PLUGIN"
	CookieValue = "spark.plugin.v1"
)

// ParentFD is the environment variable that names the file descriptor of a pipe
// whose other end only the host holds. Its end of file means that the host is
// gone. A host that sets nothing is not watched.
const ParentFD = "SPARK_PLUGIN_PARENT_FD"

// MaxMessage is the largest gRPC message in bytes that either side accepts.
const MaxMessage = 16 << 20

// Config says what to serve. Exactly one of Backend and Model is set.
type Config struct {
	Backend proto.BackendServer
	Model   proto.ModelServer

	// Protocols are the versions to offer; nil means Oldest to Protocol.
	Protocols []int
}

// Validate returns an Invalid fault when c cannot be served.
func (c Config) Validate() error {
	if (c.Backend == nil) == (c.Model == nil) {
		return fault.New(fault.Invalid, "plugin", "a plugin serves either a backend or a model provider").
			WithHint("set exactly one of Config.Backend and Config.Model")
	}
	return nil
}

// Serve runs the plugin until the host ends it, then returns nil. It returns an
// Invalid fault at once when c is wrong or when the process was not started by a
// host. When the host dies, Serve ends the process with status 0. Call it once,
// from main, and print nothing to standard output before.
func Serve(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if os.Getenv(CookieKey) != CookieValue {
		return fault.New(fault.Invalid, os.Args[0], "this program is a plugin and was not started by spark").
			WithHint("put it in a plugin folder and name it in the configuration of the host")
	}
	if err := watchParent(os.Getenv(ParentFD)); err != nil {
		return err
	}
	negotiated := new(atomic.Int32)
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: CookieKey, MagicCookieValue: CookieValue},
		VersionedPlugins: c.sets(negotiated),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, serverOptions(negotiated)...)...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr, JSONFormat: true}),
	})
	return nil
}

// serverOptions are the limits and interceptors of a plugin's server.
func serverOptions(negotiated *atomic.Int32) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.UnaryInterceptor(unary(negotiated)),
		grpc.StreamInterceptor(stream),
	}
}

// Versions returns the protocol versions from Oldest to Protocol.
func Versions() []int {
	var vs []int
	for v := Oldest; v <= Protocol; v++ {
		vs = append(vs, v)
	}
	return vs
}

// sets returns one plugin set for each protocol version on offer.
func (c Config) sets(negotiated *atomic.Int32) map[int]goplugin.PluginSet {
	versions := c.Protocols
	if versions == nil {
		versions = Versions()
	}
	sets := make(map[int]goplugin.PluginSet, len(versions))
	for _, v := range versions {
		sets[v] = goplugin.PluginSet{"spark": &service{config: c, version: v, negotiated: negotiated}}
	}
	return sets
}

// register adds the configured service to a server.
func (c Config) register(s grpc.ServiceRegistrar) {
	if c.Backend != nil {
		proto.RegisterBackendServer(s, c.Backend)
		return
	}
	proto.RegisterModelServer(s, c.Model)
}

// watchParent ends the process when the pipe behind descriptor fd reaches its
// end; fd is empty when the host set none.
func watchParent(fd string) error {
	if fd == "" {
		return nil
	}
	var n uint
	if _, err := fmt.Sscan(fd, &n); err != nil || n < 3 {
		return fault.New(fault.Invalid, ParentFD, "%q is not a file descriptor above 2", fd)
	}
	pipe := os.NewFile(uintptr(n), "host")
	if pipe == nil {
		return fault.New(fault.Invalid, ParentFD, "file descriptor %d is not open", n)
	}
	go func() {
		var b [1]byte
		for {
			if _, err := pipe.Read(b[:]); err != nil {
				os.Exit(0)
			}
		}
	}()
	return nil
}
