package plughost

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Found is an executable in a plugin folder. That it is found does not mean that
// it is trusted: a Spec runs it only when it names its digest.
type Found struct {
	Name   string // file name
	Path   string // absolute
	SHA256 string // in hex
}

// Discover returns the executables in folders, in the order of folders and then
// by name. Hidden files, other files and folders within are passed over; of two
// files of one name the first stands. NotFound for a folder that does not exist,
// Denied or Unavailable for one that cannot be read.
func Discover(folders []string) ([]Found, error) {
	var found []Found
	seen := map[string]bool{}
	for _, folder := range folders {
		folder, err := filepath.Abs(folder)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, folder, err, "plugin folder")
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fileFault(folder, err)
		}
		for _, e := range entries {
			path := filepath.Join(folder, e.Name())
			info, err := os.Stat(path) // follows links
			if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || strings.HasPrefix(e.Name(), ".") || seen[e.Name()] {
				continue
			}
			digest, err := Digest(path)
			if err != nil {
				return nil, err
			}
			seen[e.Name()] = true
			found = append(found, Found{Name: e.Name(), Path: path, SHA256: digest})
		}
	}
	return found, nil
}
