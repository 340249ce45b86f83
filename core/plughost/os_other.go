//go:build !linux

package plughost

import (
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// self returns the file of this program, to run it again, twice.
func self() (path, name string, err error) {
	path, err = os.Executable()
	if err != nil {
		return "", "", fault.Wrap(fault.Unavailable, "plugins", err, "this program does not know its own file")
	}
	return path, path, nil
}

// startTime returns when the process pid was started, to the second, or "" when
// there is none.
func startTime(pid int) string {
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
