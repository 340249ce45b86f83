package api

import (
	"slices"
	"strings"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/store"
)

// diff returns what leads from a to b: the changes of the documents, and the locks
// that moved.
func diff(a, b *store.Version) *Diff {
	d := &Diff{Graph: b.Graph, From: a.Label, To: b.Label, Changes: graph.Diff(a.Locked.Graph, b.Locked.Graph), Locks: []LockChange{}}
	if d.Changes == nil {
		d.Changes = []graph.Change{}
	}
	for _, is := range b.Locked.Locks {
		i := slices.IndexFunc(a.Locked.Locks, func(was graph.Lock) bool { return was.Node == is.Node })
		if i < 0 || a.Locked.Locks[i].Digest == is.Digest && a.Locked.Locks[i].Version == is.Version {
			continue
		}
		was := a.Locked.Locks[i]
		d.Locks = append(d.Locks, LockChange{What: "nodes." + is.Node, Old: was.Type + "@" + was.Version + " " + was.Digest,
			New: is.Type + "@" + is.Version + " " + is.Digest})
	}
	for _, is := range b.Locked.Assets {
		i := slices.IndexFunc(a.Locked.Assets, func(was graph.AssetLock) bool { return was.Name == is.Name })
		if i >= 0 && a.Locked.Assets[i].Digest != is.Digest {
			d.Locks = append(d.Locks, LockChange{What: "assets." + is.Name, Old: a.Locked.Assets[i].Digest, New: is.Digest})
		}
	}
	return d
}

// LockChange is a module or an asset whose bytes are others, under the same
// reference.
type LockChange struct {
	What string `json:"what"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Text returns one line a change, empty when both versions are the same.
func (d *Diff) Text() string {
	var b strings.Builder
	b.WriteString(graph.FormatChanges(d.Changes))
	for _, l := range d.Locks {
		b.WriteString("~ " + l.What + " lock: " + short(l.Old) + " -> " + short(l.New) + "\n")
	}
	return b.String()
}

// short cuts the digest at the end of a lock to 12 digits.
func short(s string) string {
	at := strings.LastIndexByte(s, ' ') + 1
	return s[:min(len(s), at+12)]
}
