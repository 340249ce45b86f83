package docsearch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The sizes of the three parts of the labelled questions.
const (
	ScreenSize  = 90  // what an improvement is searched on
	ConfirmSize = 140 // what it is confirmed on, N of the experiment
	HeldOutSize = 70  // what is reported in the end and shown to no search
)

// splitSeed fixes which question falls into which part.
const splitSeed = "docsearch/split/1 "

//go:embed questions.jsonl
var questionsFile []byte

// Question is one labelled need of a developer.
type Question struct {
	ID       string   `json:"id"`
	Question string   `json:"question"`
	Expected []string `json:"expected"` // ids of symbols, any of which answers it; 1 to 3
	Tags     []string `json:"tags"`     // import path of the first answer; easy, medium or hard
}

// Questions returns the labelled questions in three disjoint parts of
// ScreenSize, ConfirmSize and HeldOutSize. The part of a question depends on a
// seeded hash of the ids only, never on wording or order in the file; each part
// is in order of id. The slices are the caller's. The error says that the
// questions in this binary are damaged. Safe for concurrent use.
func Questions() (screen, confirm, heldOut []Question, err error) {
	all, err := decodeQuestions(questionsFile)
	if err != nil {
		return nil, nil, nil, fault.Wrap("", "questions.jsonl", err, "read questions")
	}
	if want := ScreenSize + ConfirmSize + HeldOutSize; len(all) != want {
		return nil, nil, nil, fault.New(fault.Internal, "questions.jsonl", "%d questions, want %d", len(all), want)
	}
	screen, confirm, heldOut = split(all)
	return screen, confirm, heldOut, nil
}

// split orders the questions by hash and cuts that order in three.
func split(all []Question) (screen, confirm, heldOut []Question) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Question) int {
		x, y := sha256.Sum256([]byte(splitSeed+a.ID)), sha256.Sum256([]byte(splitSeed+b.ID))
		return bytes.Compare(x[:], y[:])
	})
	screen = all[:ScreenSize:ScreenSize]
	confirm = all[ScreenSize : ScreenSize+ConfirmSize : ScreenSize+ConfirmSize]
	heldOut = all[ScreenSize+ConfirmSize:]
	for _, part := range [][]Question{screen, confirm, heldOut} {
		slices.SortFunc(part, func(a, b Question) int { return strings.Compare(a.ID, b.ID) })
	}
	return screen, confirm, heldOut
}

// decodeQuestions parses lines of questions strictly.
func decodeQuestions(data []byte) ([]Question, error) {
	var all []Question
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		where := "line " + strconv.Itoa(n)
		var q Question
		if err := decodeLine(lines.Bytes(), &q); err != nil {
			return nil, fault.New(fault.Invalid, where, "not a question: %v", err)
		}
		if q.ID == "" || q.Question == "" || len(q.Expected) == 0 || slices.Contains(q.Expected, "") {
			return nil, fault.New(fault.Invalid, where, "id, question and expected must not be empty")
		}
		if seen[q.ID] {
			return nil, fault.New(fault.Invalid, where, "id %q appears a second time", q.ID)
		}
		seen[q.ID] = true
		all = append(all, q)
	}
	if err := lines.Err(); err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "questions")
	}
	return all, nil
}

// WriteDataset writes questions to w as a dataset: one JSON object a line with
// id, input {question}, expected {ids} and tags, in the order given. It returns
// the first error of w.
func WriteDataset(w io.Writer, questions []Question) error {
	type input struct {
		Question string `json:"question"`
	}
	type expected struct {
		IDs []string `json:"ids"`
	}
	type item struct {
		ID       string   `json:"id"`
		Input    input    `json:"input"`
		Expected expected `json:"expected"`
		Tags     []string `json:"tags"`
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, q := range questions {
		if err := enc.Encode(item{q.ID, input{q.Question}, expected{q.Expected}, q.Tags}); err != nil {
			return fault.Wrap("", q.ID, err, "write dataset")
		}
	}
	return nil
}
