package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Guard returns h for a TCP address. With a token every request must carry it as
// a bearer token. Without one, requests that a web page of another origin could
// make are refused: those with a foreign Origin, and those to a host name other
// than localhost, so that rebinding a name gains nothing.
func Guard(h http.Handler, token string) http.Handler {
	s := &server{}
	deny := func(w http.ResponseWriter, code int, e *fault.Error) { s.write(w, code, failure{Error: ErrorOf(e)}) }
	if token != "" {
		want := sha256.Sum256([]byte("Bearer " + token))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				deny(w, http.StatusUnauthorized, fault.New(fault.Denied, "Authorization", "the token is missing or wrong").
					WithHint("give the daemon's token with --token or SPARK_TOKEN"))
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := origin.Check(r); err != nil || !local(r.Host) {
			deny(w, http.StatusForbidden, fault.New(fault.Denied, r.Host, "the request comes from another origin").
				WithHint("set a token, or ask 127.0.0.1 or localhost"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// local reports whether a Host header names this machine by address or as
// localhost.
func local(hostport string) bool {
	name := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		name = h
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil || name == "localhost"
}
