package plughost

import (
	"context"
	"testing"

	"github.com/sparkrsi/spark/sdk/proto"
)

// BenchmarkLaunch is the time to start, shake hands with, open and end a plugin.
func BenchmarkLaunch(b *testing.B) {
	for b.Loop() {
		p, err := Launch(context.Background(), spec("backend", "one"))
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is one unary call with 1 KB, mutual TLS included.
func BenchmarkCall(b *testing.B) {
	p, err := Launch(context.Background(), spec("backend", "one"))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close(context.Background())
	client := proto.NewBackendClient(p.Conn())
	req := &proto.WriteRequest{Batch: append([]byte("state "), make([]byte, 1<<10)...)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
