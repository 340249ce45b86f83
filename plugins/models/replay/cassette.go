package replay

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// maxCassette bounds the size of a cassette in bytes.
const maxCassette = 256 << 20

// cassette is a loaded file. It does not change.
type cassette struct {
	path    string
	answers map[string]model.Response // by hash of the normalised request
	models  []model.Model             // by id
}

// line is one line of a cassette.
type line struct {
	Request     *model.Request  `json:"request"`
	RequestHash string          `json:"request_hash"`
	Response    *model.Response `json:"response"`
	Model       *stated         `json:"model"`
}

// stated is what a cassette says of a model.
type stated struct {
	ID         string   `json:"id"`
	InputCost  *float64 `json:"input_cost"`
	OutputCost *float64 `json:"output_cost"`
	Context    int64    `json:"context"`
}

// Normalise returns the one JSON text of a request by which recordings are found:
// the fields in the order of model.Request, without metadata and without what is
// absent or empty.
func Normalise(r *model.Request) string {
	plain := *r
	plain.Metadata = nil
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(plain); err != nil {
		// Only a temperature that is no number cannot be written, and Validate
		// refuses that before.
		return fmt.Sprintf("%+v", plain)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// load reads the cassette at path.
func load(path string) (*cassette, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxCassette {
		return nil, fault.New(fault.Limit, path, "the cassette has %d bytes, at most %d are read", info.Size(), maxCassette)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	switch {
	case os.IsNotExist(err):
		return nil, fault.New(fault.NotFound, path, "the cassette does not exist").
			WithHint("correct the configured path; a relative one starts at the folder where spark was started")
	case err != nil:
		return nil, fault.Wrap(fault.Unavailable, path, err, "the cassette cannot be read")
	}
	return parse(path, text)
}

// parse reads the text of a cassette. Its faults are Invalid and name path and
// line.
func parse(path string, text []byte) (*cassette, error) {
	c := &cassette{path: path, answers: map[string]model.Response{}}
	models := map[string]model.Model{}
	said := map[string]int{}     // line that states a model
	recorded := map[string]int{} // line that records a hash
	n := 0
	for raw := range bytes.Lines(text) {
		n++
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		at := fmt.Sprintf("%s:%d", path, n)
		var l line
		if err := plugin.Decode("", raw, &l); err != nil {
			return nil, fault.Wrap(fault.Invalid, at, err, "cassette")
		}
		if l.Model != nil {
			m, err := l.model(at)
			if err != nil {
				return nil, err
			}
			if first := said[m.ID]; first > 0 {
				return nil, fault.New(fault.Invalid, at, "the model %q is stated on line %d already", m.ID, first)
			}
			said[m.ID], models[m.ID] = n, m
			continue
		}
		key, err := l.recording(at)
		if err != nil {
			return nil, err
		}
		if first := recorded[key]; first > 0 {
			return nil, fault.New(fault.Invalid, at, "the request is recorded on line %d already", first)
		}
		recorded[key], c.answers[key] = n, *l.Response
		if l.Request != nil {
			if _, ok := models[l.Request.Model]; !ok {
				models[l.Request.Model] = model.Model{ID: l.Request.Model}
			}
		}
	}
	for _, m := range models {
		c.models = append(c.models, m)
	}
	slices.SortFunc(c.models, func(a, b model.Model) int { return cmp.Compare(a.ID, b.ID) })
	return c, nil
}

// model checks a line that states a model.
func (l *line) model(at string) (model.Model, error) {
	if l.Request != nil || l.Response != nil || l.RequestHash != "" {
		return model.Model{}, fault.New(fault.Invalid, at, "a line is a model or a recording, not both")
	}
	m := model.Model{ID: l.Model.ID, InputCost: l.Model.InputCost, OutputCost: l.Model.OutputCost, Context: l.Model.Context}
	if m.ID == "" {
		return m, fault.New(fault.Invalid, at, "the model has no id")
	}
	for _, cost := range []*float64{m.InputCost, m.OutputCost} {
		if cost != nil && *cost < 0 {
			return m, fault.New(fault.Invalid, at, "a cost of %v is negative", *cost)
		}
	}
	return m, nil
}

// recording checks a line that records a response and returns the hash of its
// request.
func (l *line) recording(at string) (string, error) {
	switch r := l.Response; {
	case r == nil:
		return "", fault.New(fault.Invalid, at, "there is no response")
	case r.InputTokens < 0 || r.OutputTokens < 0:
		return "", fault.New(fault.Invalid, at, "the response has %d input and %d output tokens, want 0 or more", r.InputTokens, r.OutputTokens)
	case r.FinishReason == "":
		r.FinishReason = model.FinishStop
	case r.FinishReason != model.FinishStop && r.FinishReason != model.FinishLength && r.FinishReason != model.FinishFilter:
		return "", fault.New(fault.Invalid, at, "finish_reason is %q, want stop, length or filter", r.FinishReason)
	}
	if l.Request == nil {
		if b, err := hex.DecodeString(l.RequestHash); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != l.RequestHash {
			return "", fault.New(fault.Invalid, at, "there is neither a request nor its sha256 in lower-case hex as request_hash")
		}
		return l.RequestHash, nil
	}
	if err := l.Request.Validate(); err != nil {
		return "", fault.Wrap(fault.Invalid, at, err, "request")
	}
	key := hash(Normalise(l.Request))
	if l.RequestHash != "" && l.RequestHash != key {
		return "", fault.New(fault.Invalid, at, "request_hash is %s, the request beside it has %s", l.RequestHash, key).
			WithHint("remove request_hash or correct the request")
	}
	return key, nil
}

// duration is seconds as a number, or a text such as "50ms".
type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		if math.Abs(seconds) > 1e6 {
			return fault.New(fault.Invalid, "latency", "%v seconds are too many", seconds)
		}
		*d = duration(seconds * float64(time.Second))
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fault.New(fault.Invalid, "latency", "%s is neither seconds nor a duration such as \"50ms\"", b)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fault.New(fault.Invalid, "latency", "%q is neither seconds nor a duration such as \"50ms\"", text)
	}
	*d = duration(parsed)
	return nil
}
