package wasmhost

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// origin is scheme://host:port, in lower case and always with its port.
type origin string

// parseOrigin returns the origin written in s, such as https://api.example.com or
// http://[2001:db8::1]:8080, or an Invalid fault with path.
func parseOrigin(path, s string) (origin, error) {
	wrong := func(why string) error {
		return fault.New(fault.Invalid, path, "%q is no origin: %s", s, why).WithHint("write it as https://host or https://host:port")
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", wrong("it cannot be read")
	}
	if u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", wrong("it has more than scheme, host and port")
	}
	o, why := originOf(u)
	if why != "" {
		return "", wrong(why)
	}
	return o, nil
}

// originOf returns the origin of u, or why it has none.
func originOf(u *url.URL) (o origin, why string) {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	switch {
	case scheme != "http" && scheme != "https":
		return "", "the scheme is neither http nor https"
	case host == "":
		return "", "it has no host"
	case strings.ContainsAny(host, "*%") || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", "the host is no name in ASCII and no address"
	case port == "" && scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "", "the port is no number from 1 to 65535"
	}
	return origin(scheme + "://" + net.JoinHostPort(host, port)), ""
}

// address returns the host:port of o.
func (o origin) address() string {
	_, address, _ := strings.Cut(string(o), "://")
	return address
}

// local reports whether o names a place inside by itself: localhost, or an address
// that is not public.
func (o origin) local() bool {
	host, _, err := net.SplitHostPort(o.address())
	if err != nil {
		return true
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && !public(ip)
}

// special are the ranges that are not the public internet. Source: the IANA
// registries of special-purpose addresses, RFC 6890 and its updates. Of IPv6 only
// 2000::/3 is handed out as public at all.
var special = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

var unicast6 = netip.MustParsePrefix("2000::/3")

// public reports whether ip belongs to the public internet. Addresses that carry
// an IPv4 address in another form than ::ffff:0:0/96 do not.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if ip.Zone() != "" || ip.Is6() && !unicast6.Contains(ip) {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
