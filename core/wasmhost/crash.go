package wasmhost

import (
	"bytes"
	"strings"
)

// maxLastWords bounds what is kept of what a guest writes while it dies, in bytes:
// a stack of Go with the arguments that crash takes out.
const maxLastWords = 32 << 10

// dies reports whether a line on standard error is how the runtime of Go begins to
// end a program: what follows is a stack, and no log.
func dies(line []byte) bool {
	return bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))
}

// crash splits wazero's error of a call into its cause and the guest's stack, one
// function a line with the places in its source where the module has them.
// Functions of a stripped module are numbers.
func crash(err error) (cause, trace string) {
	cause, rest, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n")
	cause = strings.TrimPrefix(cause, "wasm error: ")
	cause = strings.TrimSuffix(cause, " (recovered by wazero)")
	rest, _, _ = strings.Cut(rest, "\n\n") // a stack of the host's own
	var b strings.Builder
	for line := range strings.Lines(rest) {
		b.WriteString(strings.TrimPrefix(line, "\t"))
	}
	return cause, strings.TrimSuffix(b.String(), "\n")
}

// stack returns the stack that the runtime of Go wrote to the guest's standard
// error, from the frame that panicked, without the arguments; "" when it wrote
// none.
func (c *call) stack() string {
	_, rest, found := bytes.Cut(c.last, []byte("\ngoroutine "))
	if !found {
		return ""
	}
	_, rest, _ = bytes.Cut(rest, []byte("\n"))
	var b strings.Builder
	begun := false
	for line := range bytes.Lines(rest) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		file, inFile := bytes.CutPrefix(line, []byte("\t"))
		switch {
		case bytes.HasPrefix(line, []byte("goroutine ")):
			return b.String() // another one
		case inFile && begun:
			at, _, _ := bytes.Cut(file, []byte(" +0x"))
			at, _, _ = bytes.Cut(at, []byte(" fp=0x"))
			b.WriteString("\t" + string(at) + "\n")
		case inFile:
		case bytes.HasPrefix(line, []byte("panic(")): // of several the one that came first stands last
			b.Reset()
			begun = false
		case begun || !bytes.HasPrefix(line, []byte("runtime.")): // how the runtime raised it says nothing
			begun = true
			if end := bytes.LastIndexByte(line, '('); end > 0 {
				line = line[:end]
			}
			b.Write(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
