package plughost

import (
	"bytes"
	"os"
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
)

// self returns what runs this very program again, even after its file was
// replaced or removed, and its name for people.
func self() (path, name string, err error) {
	name, err = os.Executable()
	if err != nil {
		return "", "", fault.Wrap(fault.Unavailable, "plugins", err, "this program does not know its own file")
	}
	return "/proc/self/exe", name, nil
}

// startTime returns when the process pid was started, in clock ticks since boot,
// or "" when there is none. A zombie counts as none.
func startTime(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// pid (name) state ppid ...: the name may hold anything, fields count from the
	// last parenthesis; state is field 3, the time of start field 22.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 || string(fields[0]) == "Z" || string(fields[0]) == "X" {
		return ""
	}
	return string(fields[19])
}
