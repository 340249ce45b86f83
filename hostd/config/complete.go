package config

import (
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/core/telemetry"
)

// LogLevels are the values of log_level.
var LogLevels = []string{"debug", "info", "warn", "error"}

// modelPaths names the settings of built-in providers that are paths: the
// provider runs in a folder of its own and cannot know what they are relative to.
var modelPaths = map[string][]string{"replay": {"cassette"}}

// complete checks what types cannot and makes paths absolute.
func (l *loader) complete(c *Config, path string) {
	l.absolute("data_dir", path, &c.DataDir)
	l.absolute("graphs", path, &c.Graphs)
	l.absolute("modules", path, &c.Modules)
	if c.DataDir == "" {
		l.bad("data_dir", "name a folder, or leave the setting out", "no data folder is set")
	}
	if c.LogLevel != "" && !slices.Contains(LogLevels, c.LogLevel) {
		l.bad("log_level", "use "+strings.Join(LogLevels, ", "), "%q is not a log level", c.LogLevel)
	}
	if c.Address != "" {
		if _, port, err := net.SplitHostPort(c.Address); err != nil || port == "" {
			l.bad("address", "write it as 127.0.0.1:7275", "%q is not HOST:PORT", c.Address)
		} else if c.Token == "" && !loopback(c.Address) {
			l.bad("address", "set token, or use 127.0.0.1", "%s is open to other machines and no token is set", c.Address)
		}
	}
	for key, n := range map[string]int64{"parallel": int64(c.Parallel), "nodes.instances": int64(c.Nodes.Instances),
		"nodes.memory_mib": int64(c.Nodes.MemoryMiB), "nodes.disk_cache_mib": int64(c.Nodes.DiskCacheMiB), "nodes.timeout": int64(c.Nodes.Timeout), "drain_timeout": int64(c.DrainTimeout),
		"run_retention": int64(c.RunRetention)} {
		if n < 0 {
			l.bad(key, "leave it out for the default", "must not be negative")
		}
	}
	if i := c.Nodes.Isolation; i != "" && i != "pooled" && i != "reset" {
		l.bad("nodes.isolation", "use pooled or reset", "%q is not one of the choices", i)
	}
	t := &c.Telemetry
	if len(t.Profiles) == 0 && t.Default != "off" {
		t.Profiles = map[string]telemetry.Config{t.Default: telemetry.Defaults()}
	}
	if _, ok := t.Profiles[t.Default]; !ok && t.Default != "off" {
		l.bad("telemetry.default", "name one of the profiles, or off", "there is no profile %q, only %s", t.Default,
			strings.Join(slices.Sorted(maps.Keys(t.Profiles)), ", "))
	}
	if c.Intake && t.Default == "off" {
		l.bad("intake", "name a profile as telemetry.default, or take the setting out", "what is received goes to the default profile, which is off")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Profiles)) {
		p := t.Profiles[name]
		if name == "off" {
			l.bad("telemetry.profiles.off", "give the profile another name", "off is the name that switches telemetry off")
		}
		l.absolute("telemetry.profiles."+name+".db_path", path, &p.DBPath)
		t.Profiles[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		p := c.Plugins[name]
		if p.Path == "" {
			l.bad("plugins."+name+".path", "name the executable", "no executable is named")
		} else if len(p.SHA256) != 64 {
			l.bad("plugins."+name+".sha256", "`spark plugin list` shows the digest of the file", "the executable is not pinned by its sha256")
		}
		l.absolute("plugins."+name+".path", path, &p.Path)
		c.Plugins[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		if c.Models[name].Plugin == "" {
			l.bad("models."+name+".plugin", "name a built-in provider, such as replay", "no plugin is named")
		}
		for _, setting := range modelPaths[c.Models[name].Plugin] {
			if p, ok := c.Models[name].Config[setting].(string); ok {
				l.absolute("models."+name+".config."+setting, path, &p)
				c.Models[name].Config[setting] = p
			}
		}
	}
}

// absolute makes a path setting absolute: one of the file is relative to the
// file.
func (l *loader) absolute(key, file string, p *string) {
	if *p == "" || filepath.IsAbs(*p) {
		return
	}
	if file != "" && strings.HasPrefix(l.sources[key], file+":") {
		*p = filepath.Join(filepath.Dir(file), *p)
	}
	abs, err := filepath.Abs(*p)
	if err != nil {
		l.bad(key, "give an absolute path", "cannot be resolved: %v", err)
		return
	}
	*p = abs
}

func loopback(address string) bool {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback() || name == "localhost"
}
