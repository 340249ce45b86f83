package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The bounds of a document.
const (
	MaxDocument = 1 << 20 // bytes
	MaxDepth    = 64      // nested values
)

// parseDocument returns the root node of data, or nil and what is wrong. JSON is
// read as JSON, so that its escapes mean what JSON says; all else is YAML.
func parseDocument(data []byte) (*yaml.Node, Findings) {
	if len(data) > MaxDocument {
		return nil, Findings{{Severity: SeverityError, Message: "document has " + strconv.Itoa(len(data)) +
			" bytes, the limit is " + strconv.Itoa(MaxDocument), Hint: "move data into an asset"}}
	}
	if at := invalidUTF8(data); at >= 0 {
		line := 1 + bytes.Count(data[:at], []byte("\n"))
		column := at - bytes.LastIndexByte(data[:at], '\n')
		return nil, Findings{{Severity: SeverityError, Line: line, Column: column, Message: "document is not valid UTF-8",
			Hint: "save the file as UTF-8"}}
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && t[0] == '{' && json.Valid(data) {
		return jsonNode(data), nil
	}
	return yamlNode(data)
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func yamlNode(data []byte) (*yaml.Node, Findings) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		return nil, Findings{{Severity: SeverityError, Message: "document is empty"}}
	case err != nil:
		return nil, Findings{yamlFinding(err)}
	}
	switch err := d.Decode(&second); {
	case err == nil:
		return nil, Findings{{Severity: SeverityError, Line: second.Line, Column: second.Column,
			Message: "more than one document in the file", Hint: "put each document into a file of its own"}}
	case !errors.Is(err, io.EOF):
		return nil, Findings{yamlFinding(err)}
	}
	return doc.Content[0], nil
}

func yamlFinding(err error) Finding {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	f := Finding{Severity: SeverityError, Message: "not YAML: " + text}
	if m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Message = "not YAML: " + strings.TrimPrefix(text, m[0])
		if f.Line > 0 {
			f.Column = 1
		}
	}
	if strings.Contains(text, "tab") || strings.Contains(text, "cannot start any token") {
		f.Hint = "indent with spaces, and quote text that starts with a special character"
	}
	return f
}

// jsonNode turns valid JSON into the nodes that YAML would give.
func jsonNode(data []byte) *yaml.Node {
	p := &jsonParser{data: data, d: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.d.UseNumber()
	return p.value()
}

type jsonParser struct {
	data       []byte
	d          *json.Decoder
	seen, line int // line counts the newlines before seen, from 1
	lineStart  int
}

func (p *jsonParser) value() *yaml.Node {
	at := int(p.d.InputOffset())
	for at < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[at]) >= 0 {
		at++
	}
	for ; p.seen < at; p.seen++ {
		if p.data[p.seen] == '\n' {
			p.line++
			p.lineStart = p.seen + 1
		}
	}
	n := &yaml.Node{Line: p.line, Column: at - p.lineStart + 1}
	t, err := p.d.Token()
	if err != nil {
		return n
	}
	switch t := t.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for p.d.More() {
			n.Content = append(n.Content, p.value())
		}
		p.d.Token()
		return n
	case string:
		n.Tag, n.Value = "!!str", t
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if !strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	n.Kind = yaml.ScalarNode
	return n
}
