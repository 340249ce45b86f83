package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// installed is where distributions put the server programs, outside of PATH.
const installed = "/usr/lib/postgresql/*/bin"

// find returns the folder of initdb, postgres and psql: the newest of those that
// the pattern installed matches, else from PATH.
func find(installed string) (string, error) {
	dirs, err := filepath.Glob(installed)
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return major(b) - major(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, dir := range dirs {
		if complete(dir) {
			return dir, nil
		}
	}
	return "", errors.New("no PostgreSQL server found in " + installed + " or PATH: install it with `apt-get install postgresql`")
}

func major(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func complete(dir string) bool {
	for _, name := range [...]string{"initdb", "postgres", "psql"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// user is whom the server runs as; nil is whoever runs the tests.
type user struct{ uid, gid uint32 }

// unprivileged returns nil for an ordinary user. PostgreSQL refuses to run as
// root, who so becomes postgres or nobody.
func unprivileged() (*user, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range [...]string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &user{uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root and there is no user postgres or nobody: run the tests as an ordinary user")
}

// own gives the files to the user.
func (u *user) own(paths ...string) error {
	if u == nil {
		return nil
	}
	for _, p := range paths {
		if err := os.Chown(p, int(u.uid), int(u.gid)); err != nil {
			return fmt.Errorf("give %s to user %d: %w", p, u.uid, err)
		}
	}
	return nil
}

// run makes c run as the user, and end when the tests are killed.
func (u *user) run(c *exec.Cmd) {
	c.SysProcAttr = deathSignal()
	if u != nil {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
}
