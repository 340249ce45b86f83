package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// Config names the server and how to write. Either ConnectionString or Host is
// needed; the password may stand apart from both.
type Config struct {
	ConnectionString string         `json:"connection_string,omitempty"` // postgres://user@host:5432/database or key=value words
	Host             string         `json:"host,omitempty"`              // a name, an address, or the folder of a socket
	Port             int            `json:"port,omitempty"`              // 0 means 5432
	Database         string         `json:"database,omitempty"`          // empty is the user's name
	User             string         `json:"user,omitempty"`              // empty is whoever runs the plugin
	Password         string         `json:"password,omitempty"`
	PasswordFile     string         `json:"password_file,omitempty"`     // its content, without the last line end, is the password
	SSLMode          string         `json:"sslmode,omitempty"`           // disable, allow, prefer (the default), require, verify-ca, verify-full
	SSLRootCert      string         `json:"sslrootcert,omitempty"`       // file with the authorities to trust
	Schema           string         `json:"schema,omitempty"`            // empty means spark_telemetry
	Layout           string         `json:"layout,omitempty"`            // rows (the default) or packed; fixed when the schema is made
	MaxConnections   int            `json:"max_connections,omitempty"`   // 2 to 100; 0 means 4
	ConnectTimeout   plugin.Seconds `json:"connect_timeout,omitempty"`   // 0 means 5s
	StatementTimeout plugin.Seconds `json:"statement_timeout,omitempty"` // 0 means 30s; aggregates over much data need more
	AsyncCommit      bool           `json:"async_commit,omitempty"`      // a crash of the server may lose what was not flushed
}

const (
	layoutRows   = "rows"
	layoutPacked = "packed"

	defaultSchema           = "spark_telemetry"
	defaultConnections      = 4
	defaultConnectTimeout   = 5 * time.Second
	defaultStatementTimeout = 30 * time.Second
	maxTimeout              = time.Hour
)

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// settings is a Config made ready.
type settings struct {
	pool                             *pgxpool.Config
	schema, layout                   string
	place                            string // of faults: the server and schema, without a password
	secret                           string // the password
	async                            bool
	connectTimeout, statementTimeout time.Duration
}

func invalid(path, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, path, format, args...)
}

func parse(config []byte) (*settings, error) {
	var c Config
	if err := plugin.Decode("", config, &c); err != nil {
		return nil, err
	}
	if err := c.fill(); err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig(c.words())
	if err != nil { // its text may hold parts of the password
		return nil, invalid("connection_string", "cannot be read").
			WithHint("write postgres://user@host:5432/database, with special characters as %%XX, and give the password as password_file")
	}
	s := &settings{pool: pool, schema: c.Schema, layout: c.Layout, connectTimeout: time.Duration(c.ConnectTimeout), statementTimeout: time.Duration(c.StatementTimeout), async: c.AsyncCommit}
	if c.Password != "" {
		pool.ConnConfig.Password = c.Password
	}
	s.secret = pool.ConnConfig.Password
	s.place = fmt.Sprintf("postgres %s/%s", net.JoinHostPort(pool.ConnConfig.Host, strconv.Itoa(int(pool.ConnConfig.Port))), pool.ConnConfig.Database)
	pool.MaxConns, pool.MinConns = int32(c.MaxConnections), 0
	pool.ConnConfig.ConnectTimeout, pool.PingTimeout = s.connectTimeout, s.connectTimeout
	if pool.ConnConfig.RuntimeParams["application_name"] == "" {
		pool.ConnConfig.RuntimeParams["application_name"] = "spark telemetry"
	}
	pool.AfterConnect = s.prepare
	return s, nil
}

// prepare gives a new connection its limits.
func (s *settings) prepare(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, fmt.Sprintf(`SET search_path = %s, pg_catalog; SET statement_timeout = %d; SET lock_timeout = %d;
		SET idle_in_transaction_session_timeout = %d; SET client_min_messages = warning; SET jit = off`,
		s.schema, s.statementTimeout.Milliseconds(), s.statementTimeout.Milliseconds(), (s.statementTimeout+s.connectTimeout).Milliseconds()),
		pgx.QueryExecModeSimpleProtocol)
	return err
}

// fill sets the defaults and checks each field.
func (c *Config) fill() error {
	apart := c.Host != "" || c.Port != 0 || c.Database != "" || c.User != "" || c.SSLMode != "" || c.SSLRootCert != ""
	switch {
	case c.ConnectionString == "" && c.Host == "":
		return invalid("connection_string", "the server is not named").WithHint("set connection_string, or host, database, user and password_file")
	case c.ConnectionString != "" && apart:
		return invalid("connection_string", "given beside host, port, database, user, sslmode or sslrootcert").WithHint("use one of the two forms")
	case c.Port < 0 || c.Port > 65535:
		return invalid("port", "%d is no port", c.Port)
	case c.Password != "" && c.PasswordFile != "":
		return invalid("password_file", "given beside password").WithHint("use one of the two")
	}
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return fault.Wrap(fault.Invalid, "password_file", err, "read the password")
		}
		if c.Password = strings.TrimRight(string(b), "\r\n"); c.Password == "" {
			return invalid("password_file", "%s is empty", c.PasswordFile)
		}
	}
	orElse(&c.Schema, defaultSchema)
	orElse(&c.Layout, layoutRows)
	orElse(&c.MaxConnections, defaultConnections)
	orElse(&c.ConnectTimeout, plugin.Seconds(defaultConnectTimeout))
	orElse(&c.StatementTimeout, plugin.Seconds(defaultStatementTimeout))
	switch {
	case !schemaName.MatchString(c.Schema) || strings.HasPrefix(c.Schema, "pg_"):
		return invalid("schema", "%q is no name: lower-case letters, digits and _, at most 63, not beginning with pg_", c.Schema)
	case c.Layout != layoutRows && c.Layout != layoutPacked:
		return invalid("layout", "%q is neither rows nor packed", c.Layout)
	case c.MaxConnections < 2 || c.MaxConnections > 100:
		return invalid("max_connections", "%d lies outside 2 to 100", c.MaxConnections)
	}
	for name, v := range map[string]plugin.Seconds{"connect_timeout": c.ConnectTimeout, "statement_timeout": c.StatementTimeout} {
		if d := time.Duration(v); d < 10*time.Millisecond || d > maxTimeout {
			return invalid(name, "%s lies outside 10ms to %s", d, maxTimeout)
		}
	}
	return nil
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

// words returns the connection string, without a password unless it came in it.
func (c *Config) words() string {
	if c.ConnectionString != "" {
		return c.ConnectionString
	}
	var w strings.Builder
	word := func(key, v string) {
		if v != "" {
			fmt.Fprintf(&w, "%s='%s' ", key, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v))
		}
	}
	word("host", c.Host)
	if c.Port != 0 {
		word("port", strconv.Itoa(c.Port))
	}
	word("dbname", c.Database)
	word("user", c.User)
	word("sslmode", c.SSLMode)
	word("sslrootcert", c.SSLRootCert)
	return w.String()
}
