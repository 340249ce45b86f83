package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// Config names the receiver and how to send.
type Config struct {
	Endpoint        string            `json:"endpoint"`                    // grpc: host:4317, or with http:// or https://; http/protobuf: http://host:4318, /v1/traces and so on are added
	Protocol        string            `json:"protocol,omitempty"`          // grpc (the default) or http/protobuf
	Signals         []string          `json:"signals,omitempty"`           // of traces, metrics, logs; empty means all
	Sketches        bool              `json:"sketches,omitempty"`          // send rows of statistics as logs; for another Spark
	Headers         map[string]string `json:"headers,omitempty"`           // sent with each request; secret
	Insecure        bool              `json:"insecure,omitempty"`          // no TLS, for an endpoint without a scheme
	TLS             TLS               `json:"tls,omitzero"`                // how to trust, and to be trusted
	Compression     string            `json:"compression,omitempty"`       // none (the default) or gzip
	Timeout         plugin.Seconds    `json:"timeout,omitempty"`           // of one attempt; 0 means 10s
	RetryFor        plugin.Seconds    `json:"retry_for,omitempty"`         // repeat a request within one write so long; 0 means 5s. The host repeats the write
	MaxRequestBytes int               `json:"max_request_bytes,omitempty"` // before compression; 0 means 2 MiB, a Collector takes 4 by default
}

// TLS are files in PEM and what to check.
type TLS struct {
	CAFile     string `json:"ca_file,omitempty"`     // authorities to trust; empty means the system's
	CertFile   string `json:"cert_file,omitempty"`   // our certificate, for receivers that ask for one
	KeyFile    string `json:"key_file,omitempty"`    // its key
	ServerName string `json:"server_name,omitempty"` // expected in the receiver's certificate; empty means the host of the endpoint
}

const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"

	defaultTimeout  = 10 * time.Second
	defaultRetryFor = 5 * time.Second
	defaultBytes    = 2 << 20
	minBytes        = 64 << 10
	maxBytes        = 64 << 20
)

// settings is a Config made ready.
type settings struct {
	target            string   // of gRPC: host:port
	http              *url.URL // nil for gRPC
	tls               *tls.Config
	signals           []otel.Signal
	sketches, gzip    bool
	headers           map[string]string
	timeout, retryFor time.Duration
	maxBytes          int
	place             string // of faults
}

func invalid(path, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, path, format, args...)
}

func parse(config []byte) (*settings, error) {
	var c Config
	if err := plugin.Decode("", config, &c); err != nil {
		return nil, err
	}
	s := &settings{sketches: c.Sketches, headers: c.Headers, maxBytes: c.MaxRequestBytes,
		timeout: time.Duration(c.Timeout), retryFor: time.Duration(c.RetryFor)}
	for _, step := range []func(*Config) error{s.endpoint, s.security, s.choices, s.limits, s.header} {
		if err := step(&c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// endpoint never repeats the address in a fault: it may hold a password.
func (s *settings) endpoint(c *Config) error {
	if c.Endpoint == "" {
		return invalid("endpoint", "the receiver is not named").WithHint("set endpoint, such as collector:4317 for grpc or https://collector:4318 for http/protobuf")
	}
	scheme, rest, cut := strings.Cut(c.Endpoint, "://")
	if !cut {
		scheme, rest = "https", c.Endpoint
		if c.Insecure {
			scheme = "http"
		}
	} else if scheme != "http" && scheme != "https" {
		return invalid("endpoint", "a scheme other than http and https")
	} else if c.Insecure && scheme == "https" {
		return invalid("insecure", "given beside an endpoint with https").WithHint("use one of the two")
	}
	u, err := url.Parse(scheme + "://" + rest)
	switch {
	case err != nil || u.Hostname() == "":
		return invalid("endpoint", "cannot be read").WithHint("write host:port, or a URL such as https://collector:4318")
	case u.User != nil:
		return invalid("endpoint", "it holds a user name or password").WithHint("put credentials into headers")
	case u.RawQuery != "" || u.Fragment != "":
		return invalid("endpoint", "it holds a query or fragment")
	}
	if scheme == "https" {
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch c.Protocol {
	case "", protocolGRPC:
		if strings.Trim(u.Path, "/") != "" {
			return invalid("endpoint", "a path, which gRPC has no use for").WithHint("set protocol to http/protobuf")
		}
		if u.Port() == "" {
			return invalid("endpoint", "the port is missing").WithHint("4317 is usual for gRPC")
		}
		s.target = net.JoinHostPort(u.Hostname(), u.Port())
		s.place = "otlp " + s.target
	case protocolHTTP:
		u.Path = strings.TrimRight(u.Path, "/")
		s.http, s.place = u, "otlp "+u.String()
	default:
		return invalid("protocol", "%q is neither grpc nor http/protobuf", c.Protocol)
	}
	return nil
}

func (s *settings) security(c *Config) error {
	if s.tls == nil {
		if c.TLS != (TLS{}) {
			return invalid("tls", "given for an endpoint without TLS").WithHint("use https:// or drop insecure")
		}
		return nil
	}
	s.tls.ServerName = c.TLS.ServerName
	if c.TLS.CAFile != "" {
		b, err := os.ReadFile(c.TLS.CAFile)
		if err != nil {
			return fault.Wrap(fault.Invalid, "tls.ca_file", err, "read the authorities")
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(b) {
			return invalid("tls.ca_file", "%s holds no certificate in PEM", c.TLS.CAFile)
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return invalid("tls.key_file", "cert_file and key_file belong together")
	}
	if c.TLS.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
		if err != nil {
			return fault.Wrap(fault.Invalid, "tls.cert_file", err, "read the certificate and its key")
		}
		s.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func (s *settings) choices(c *Config) error {
	if len(c.Signals) == 0 {
		c.Signals = []string{"traces", "metrics", "logs"}
	}
	for i, name := range c.Signals {
		x, ok := otel.ParseSignal(name)
		if !ok || slices.Contains(s.signals, x) {
			return invalid(fmt.Sprintf("signals.%d", i), "%q is none of traces, metrics, logs, or there already", name)
		}
		s.signals = append(s.signals, x)
	}
	slices.Sort(s.signals)
	switch c.Compression {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		return invalid("compression", "%q is neither none nor gzip", c.Compression)
	}
	return nil
}

func (s *settings) limits(c *Config) error {
	for _, x := range []struct {
		name  string
		v     *time.Duration
		other time.Duration
	}{{"timeout", &s.timeout, defaultTimeout}, {"retry_for", &s.retryFor, defaultRetryFor}} {
		if *x.v == 0 {
			*x.v = x.other
		}
		if *x.v < time.Millisecond || *x.v > time.Hour {
			return invalid(x.name, "%s lies outside 1ms to 1h", *x.v)
		}
	}
	if s.maxBytes == 0 {
		s.maxBytes = defaultBytes
	}
	if s.maxBytes < minBytes || s.maxBytes > maxBytes {
		return invalid("max_request_bytes", "%d lies outside %d to %d", s.maxBytes, minBytes, maxBytes)
	}
	return nil
}

// header checks names and values; a fault holds the name only.
func (s *settings) header(c *Config) error {
	names := map[string]bool{}
	for name, v := range c.Headers {
		path, low := "headers."+name, strings.ToLower(name)
		ascii := !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' })
		switch {
		case !httpguts.ValidHeaderFieldName(name) || strings.HasPrefix(low, "grpc-") || names[low]:
			return invalid(path, "not usable as the name of a header, or there already")
		case slices.Contains([]string{"content-type", "content-encoding", "content-length", "host", "user-agent", "te", "connection", "transfer-encoding", "upgrade"}, low):
			return invalid(path, "this header is the protocol's own")
		case !ascii || strings.TrimSpace(v) != v || v == "":
			return invalid(path, "the value is empty, begins or ends with a space, or is not printable ASCII").WithHint("check the file or variable it comes from for a line end")
		}
		names[low] = true
	}
	return nil
}
