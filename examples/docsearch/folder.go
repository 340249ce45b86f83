package docsearch

import (
	"bytes"
	"context"
	_ "embed"
	"os"
	"path/filepath"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Names of the files that WriteFolder makes.
const (
	GraphFile   = "docsearch.yaml"
	PolicyFile  = "docsearch.policy.yaml"
	DatasetFile = "eval.jsonl"
	CorpusFile  = "corpus.jsonl"
)

var (
	//go:embed docsearch.yaml
	graphDocument []byte
	//go:embed docsearch.policy.yaml
	policyDocument []byte
)

// WriteFolder makes dir and writes the whole story into it: graph, policy, the
// dataset of the SCREEN and CONFIRM questions with those words as tags, and the
// corpus built from source, a result of Find. The held-out questions are never
// written. It returns what the corpus holds.
func WriteFolder(ctx context.Context, dir, source string) (Stats, error) {
	screen, confirm, _, err := Questions()
	if err != nil {
		return Stats{}, err
	}
	dataset := append(tagged(screen, "screen"), tagged(confirm, "confirm")...)
	var corpus, eval bytes.Buffer
	stats, err := Build(ctx, source, &corpus)
	if err != nil {
		return Stats{}, err
	}
	if err := WriteDataset(&eval, dataset); err != nil {
		return Stats{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Stats{}, fault.Wrap(fault.ReadOnly, dir, err, "make the folder")
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{GraphFile, graphDocument}, {PolicyFile, policyDocument}, {DatasetFile, eval.Bytes()}, {CorpusFile, corpus.Bytes()}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o600); err != nil {
			return Stats{}, fault.Wrap(fault.ReadOnly, filepath.Join(dir, f.name), err, "write")
		}
	}
	return stats, nil
}

// tagged returns copies of the questions with one more tag.
func tagged(questions []Question, tag string) []Question {
	out := make([]Question, len(questions))
	for i, q := range questions {
		q.Tags = append(append([]string(nil), q.Tags...), tag)
		out[i] = q
	}
	return out
}
