package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

// MaxDepth is how deep arrays and objects may nest in a manifest.
const MaxDepth = 64

var (
	manifestKeys = []string{"abi", "name", "version", "summary", "license", "nodes"}
	nodeKeys     = []string{"type", "version", "summary", "implements", "config", "input", "output", "effects",
		"deterministic", "idempotent", "capabilities", "memory_mib"}
	tunableKeys = []string{"min", "max", "step", "log", "values"}
)

// DecodeManifest returns the manifest that doc writes. It is strict: an Invalid
// fault names the place of an unknown or repeated key, of nesting deeper than
// MaxDepth, of a value of the wrong type, invalid UTF-8 or trailing data. What
// the values mean is for Validate.
func DecodeManifest(doc []byte) (*Manifest, error) {
	var m Manifest
	if err := decode(doc, "", manifestKeys, &m); err != nil {
		return nil, err
	}
	var raw struct {
		Nodes []json.RawMessage `json:"nodes"`
	}
	if err := json.Unmarshal(doc, &raw); err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "manifest refused")
	}
	for i, n := range raw.Nodes {
		if err := knownKeys(n, "nodes."+strconv.Itoa(i), nodeKeys); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// DecodeNodeType returns the node type that doc writes, as strictly as
// DecodeManifest.
func DecodeNodeType(doc []byte) (*NodeType, error) {
	var t NodeType
	if err := decode(doc, "", nodeKeys, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

// decode fills into from doc, which must be a sound document and an object with
// no keys but the known ones.
func decode(doc []byte, path string, known []string, into any) error {
	if err := sound(doc, path); err != nil {
		return err
	}
	if err := knownKeys(doc, path, known); err != nil {
		return err
	}
	if err := json.Unmarshal(doc, into); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) && t.Field != "" {
			path = join(path, t.Field)
		}
		return fault.Wrap(fault.Invalid, path, err, "wrong type")
	}
	return nil
}

// knownKeys refuses keys of the object doc that known does not hold, letter for
// letter: encoding/json alone would take case variants.
func knownKeys(doc []byte, path string, known []string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(doc, &object); err != nil || object == nil {
		return fault.New(fault.Invalid, path, "not an object")
	}
	for key := range object {
		if !slices.Contains(known, key) {
			return fault.New(fault.Invalid, join(path, key), "unknown key").WithHint("known keys are %v", known)
		}
	}
	return nil
}

// Sound returns an Invalid fault unless doc is one JSON value in UTF-8 that
// nests at most MaxDepth deep and repeats no key in an object: what every
// document of the contract has to be before its content is looked at.
func Sound(doc []byte) error { return sound(doc, "") }

// sound refuses a document that is not one JSON value in UTF-8, nests deeper
// than MaxDepth or repeats a key in an object.
func sound(doc []byte, path string) error {
	if !utf8.Valid(doc) {
		return fault.New(fault.Invalid, path, "not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if err := soundValue(dec, path, 0); err != nil {
		if fault.Is(err, fault.Invalid) {
			return err
		}
		return fault.Wrap(fault.Invalid, path, err, "not JSON at byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); err != io.EOF {
		return fault.New(fault.Invalid, path, "unexpected data behind the document at byte %d", dec.InputOffset())
	}
	return nil
}

func soundValue(dec *json.Decoder, path string, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == MaxDepth {
		return fault.New(fault.Invalid, path, "nested deeper than %d", MaxDepth)
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		at := join(path, strconv.Itoa(i))
		if open == '{' {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			key, ok := token.(string)
			if !ok {
				return fault.New(fault.Invalid, path, "key is not a string")
			}
			if at = join(path, key); seen[key] {
				return fault.New(fault.Invalid, at, "key appears twice")
			}
			seen[key] = true
		}
		if err := soundValue(dec, at, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
