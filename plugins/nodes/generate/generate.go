// Package generate asks a model, with a prompt filled from the input document.
package generate

import (
	"github.com/sparkrsi/spark/plugins/nodes/template"
	"github.com/sparkrsi/spark/sdk/node"
)

type generator struct {
	host    *node.Host
	prompt  template.Template
	request node.Request
	buf     []byte
}

var _ node.Resumer = (*generator)(nil)

// New returns a node that turns any document into {text, model, finish_reason,
// usage}. It needs the generate capability, and holds no instance while the model
// answers.
func New() node.Node { return &generator{} }

func (g *generator) Configure(c *node.Config) error {
	g.host = c.Host()
	text := c.String("prompt", "")
	prompt, err := template.Parse(text)
	if text == "" {
		c.Refuse("prompt", "is missing, want a text with places such as {{question}}")
	} else if err != nil {
		c.Refuse("prompt", "%v", err)
	}
	g.prompt = prompt
	temperature := c.Float("temperature", 0, 0, 2)
	g.request = node.Request{
		Model:       c.String("model", ""),
		System:      c.String("system", ""),
		MaxTokens:   c.Int("max_tokens", 512, 1, 1<<20),
		Temperature: &temperature,
	}
	if g.request.Model == "" {
		c.Refuse("model", "is missing, want a model that the host knows")
	}
	return nil
}

func (g *generator) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	if g.buf, err = g.prompt.Append(g.buf[:0], doc, false); err != nil {
		return err
	}
	request := g.request
	request.Prompt = string(g.buf)
	return g.host.AwaitGenerate(request, nil)
}

func (g *generator) Resume(_ []byte, got *node.Result, out *node.Writer) error {
	response, err := got.Generated()
	if err != nil {
		return err
	}
	out.Object()
	out.Key("text").String(response.Text)
	out.Key("model").String(response.Model)
	out.Key("finish_reason").String(response.FinishReason)
	out.Key("usage").Object()
	out.Key("input_tokens").Int(response.InputTokens)
	out.Key("output_tokens").Int(response.OutputTokens)
	out.Key("cost_usd").Float(response.CostUSD)
	out.End()
	out.End()
	return nil
}
