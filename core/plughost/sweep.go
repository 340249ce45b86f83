package plughost

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sparkrsi/spark/sdk/fault"
)

// tempPrefix begins the name of every plugin's TMPDIR.
const tempPrefix = "spark-"

// tempBase returns the folder for the TMPDIRs of plugins. A socket's whole path
// has room for about 100 bytes, of which 60 are ours.
func tempBase() string {
	if dir := os.TempDir(); len(dir) <= 40 {
		return dir
	}
	return "/tmp"
}

// noteText is what is noted of a live process. Pids are reused: only together
// with the time of its start does one name a process.
type noteText struct {
	PID          int    `json:"pid"`
	Started      string `json:"started"`
	Owner        int    `json:"owner"`
	OwnerStarted string `json:"owner_started"`
	Temp         string `json:"temp"`
}

// writeNote notes the process pid in the folder of s and returns the name of the
// note, or "" when s has no folder.
func writeNote(s *Spec, pid int, temp string) (string, error) {
	if s.Folder == "" {
		return "", nil
	}
	n := noteText{PID: pid, Started: startTime(pid), Owner: os.Getpid(), OwnerStarted: startTime(os.Getpid()), Temp: temp}
	text, err := json.Marshal(n)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.Folder, s.Name+"-"+strconv.Itoa(pid)+".json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fault.Wrap(fault.Unavailable, path, err, "the plugin process cannot be noted")
	}
	return path, nil
}

// Sweep kills plugin processes that hosts which are gone left behind, removes
// their TMPDIRs and their notes in folder, and returns how many it killed. Those
// of a live host, this one included, stay. A missing folder holds none. Call it
// before the first Launch with that folder.
func Sweep(folder string) (int, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return 0, fault.Wrap(fault.Invalid, folder, err, "folder of plugin notes")
	}
	killed := 0
	var errs []error
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its owner was faster
		}
		var n noteText
		if err == nil {
			err = json.Unmarshal(text, &n)
		}
		if err != nil {
			errs = append(errs, fault.Wrap(fault.Corrupt, name, err, "unreadable note of a plugin process"))
			continue
		}
		if alive(n.Owner, n.OwnerStarted) {
			continue
		}
		if n.PID > 1 && alive(n.PID, n.Started) {
			if err := syscall.Kill(-n.PID, syscall.SIGKILL); err == nil {
				killed++
			}
		}
		if strings.HasPrefix(filepath.Base(n.Temp), tempPrefix) {
			errs = append(errs, os.RemoveAll(n.Temp))
		}
		errs = append(errs, os.Remove(name))
	}
	return killed, errors.Join(errs...)
}

// alive reports whether the process pid lives and was started at started.
func alive(pid int, started string) bool {
	return started != "" && startTime(pid) == started
}
