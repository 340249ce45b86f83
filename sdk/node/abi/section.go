package abi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"

	"github.com/sparkrsi/spark/sdk/fault"
)

// MaxManifest bounds the manifest in bytes.
const MaxManifest = 1 << 20

// header is the magic number and version 1 of the WebAssembly binary format.
const header = "\x00asm\x01\x00\x00\x00"

const sectionHint = "build the module with its manifest, for Go with the program sdk/node/cmd/modbuild"

// ReadManifest returns the manifest of a WASM binary without running or
// validating anything else of it; call Validate before trusting its content. The
// error is an Invalid fault when wasm is no binary module, holds none or more
// than one manifest, or the manifest is larger than MaxManifest or not what
// DecodeManifest takes.
func ReadManifest(wasm []byte) (*Manifest, error) {
	var found []byte
	err := sections(wasm, func(id byte, name string, body []byte, _, _ int) error {
		if id != 0 || name != Section {
			return nil
		}
		if found != nil {
			return fault.New(fault.Invalid, Section, "module has more than one such section")
		}
		if found = body; len(body) == 0 || len(body) > MaxManifest {
			return fault.New(fault.Invalid, Section, "section has %d bytes, want 1 to %d", len(body), MaxManifest)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fault.New(fault.Invalid, Section, "module has no such custom section").WithHint(sectionHint)
	}
	return DecodeManifest(found)
}

// AppendManifest returns a copy of a WASM binary with m as its manifest, in
// place of any it had. The same input gives the same bytes. The error is an
// Invalid fault when wasm is no binary module or m does not Validate.
func AppendManifest(wasm []byte, m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(m)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, Section, err, "manifest cannot be written")
	}
	if len(doc) > MaxManifest {
		return nil, fault.New(fault.Invalid, Section, "manifest has %d bytes, limit %d", len(doc), MaxManifest)
	}
	out := make([]byte, 0, len(wasm)+len(doc)+64)
	out = append(out, header...)
	err = sections(wasm, func(id byte, name string, _ []byte, from, to int) error {
		if id != 0 || name != Section {
			out = append(out, wasm[from:to]...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	body := binary.AppendUvarint(nil, uint64(len(Section)))
	body = append(append(body, Section...), doc...)
	out = append(out, 0)
	out = binary.AppendUvarint(out, uint64(len(body)))
	return append(out, body...), nil
}

// sections calls visit for each section of a WASM binary: its id, for custom
// sections (id 0) its name and the bytes behind the name, and where the whole
// section begins and ends.
func sections(wasm []byte, visit func(id byte, name string, body []byte, from, to int) error) error {
	if !bytes.HasPrefix(wasm, []byte(header)) {
		return fault.New(fault.Invalid, "", "not a WebAssembly binary of version 1").
			WithHint("give a core module (.wasm), not text format or a component")
	}
	for at := len(header); at < len(wasm); {
		from, id := at, wasm[at]
		size, n := uleb32(wasm[at+1:])
		at += 1 + n
		if n <= 0 || uint64(size) > uint64(len(wasm)-at) {
			return fault.New(fault.Invalid, "", "section at byte %d reaches beyond the end of the module", from)
		}
		body := wasm[at : at+int(size)]
		at += int(size)
		var name string
		if id == 0 {
			l, n := uleb32(body)
			if n <= 0 || uint64(l) > uint64(len(body)-n) {
				return fault.New(fault.Invalid, "", "custom section at byte %d has no name", from)
			}
			name, body = string(body[n:n+int(l)]), body[n+int(l):]
		}
		if err := visit(id, name, body, from, at); err != nil {
			return err
		}
	}
	return nil
}

// uleb32 returns the unsigned LEB128 number of at most 32 bits that b begins
// with and how many bytes it takes, 0 when there is none.
func uleb32(b []byte) (uint32, int) {
	v, n := binary.Uvarint(b[:min(len(b), 5)])
	if n <= 0 || v > 1<<32-1 {
		return 0, 0
	}
	return uint32(v), n
}
