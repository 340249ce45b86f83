package wasmhost

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Asset is a file that a node may read. Its bytes must not change while a node
// uses it. Either Path or Data is given.
type Asset struct {
	Digest string      // sha256 in hex; the identity of the asset
	Path   string      // file, opened and checked against Digest
	Data   io.ReaderAt // content, trusted to be what Digest says; safe for concurrent use
	Size   int64       // bytes of Data; not needed with Path
}

// asset is an open one.
type asset struct {
	digest string
	data   io.ReaderAt
	size   int64
	file   *os.File // nil when data was given
}

// openAssets opens and checks all assets, or none.
func openAssets(from map[string]Asset) (open map[string]*asset, err error) {
	open = make(map[string]*asset, len(from))
	defer func() {
		if err != nil {
			closeAssets(open)
		}
	}()
	for name, a := range from {
		path := "assets." + name
		if (a.Path == "") == (a.Data == nil) || a.Digest == "" || a.Size < 0 {
			return open, fault.New(fault.Internal, path, "asset wants a digest and either a path or data")
		}
		if a.Data != nil {
			open[name] = &asset{digest: a.Digest, data: a.Data, size: a.Size}
			continue
		}
		f, err := os.Open(a.Path)
		if err != nil {
			return open, fault.Wrap(fault.NotFound, path, err, "asset cannot be opened")
		}
		open[name] = &asset{digest: a.Digest, data: f, file: f}
		hash := sha256.New()
		n, err := io.Copy(hash, f)
		if err != nil {
			return open, fault.Wrap(fault.Unavailable, path, err, "asset cannot be read")
		}
		open[name].size = n
		if got := hex.EncodeToString(hash.Sum(nil)); got != a.Digest {
			return open, fault.New(fault.Corrupt, path, "file %s has digest %s, the version locked %s", a.Path, got, a.Digest).
				WithHint("restore the file, or apply the graph again to lock the new content")
		}
	}
	return open, nil
}

func closeAssets(open map[string]*asset) {
	for _, a := range open {
		if a.file != nil {
			a.file.Close() // opened for reading
		}
	}
}

// assetKey is the identity of a set of assets.
func assetKey(from map[string]Asset) string {
	names := assetNames(from)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		b.WriteByte(0)
		b.WriteString(from[name].Digest)
		b.WriteByte(0)
	}
	return b.String()
}

func assetNames(from map[string]Asset) []string {
	names := make([]string, 0, len(from))
	for name := range from {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
