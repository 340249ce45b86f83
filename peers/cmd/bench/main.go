// Command bench runs the benchmarks of package peers in rounds, each round all of
// them once, so that a busy moment of the machine falls on both sides of a
// comparison, and prints one Markdown table of the medians:
//
//	go run -C peers ./cmd/bench
//
// It needs the go command and the stock module that `make build` leaves in
// plugins/nodes/wasm. Exit status 1 when a benchmark fails.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often every benchmark is run")
	each := flag.Duration("time", 300*time.Millisecond, "how long every benchmark is run in a round")
	only := flag.String("bench", ".", "regular `expression` of the benchmarks to run")
	flag.Parse()
	if *rounds < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	r, err := run(*rounds, *each, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	fmt.Printf("%s, %s, %d cores, %s/%s; medians of %d rounds of %v\n\n", time.Now().Format(time.DateOnly), runtime.Version(),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, *rounds, *each)
	out := bufio.NewWriter(os.Stdout)
	table(out, r)
	out.Flush()
}

// run builds the benchmarks once and runs them rounds times.
func run(rounds int, each time.Duration, only string) (results, error) {
	dir, err := os.MkdirTemp("", "spark-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "peers.test")
	build := exec.Command("go", "test", "-c", "-o", program, "github.com/sparkrsi/spark/peers")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the benchmarks: %w\n%s", err, text)
	}
	source, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/sparkrsi/spark/peers").Output()
	if err != nil {
		return nil, fmt.Errorf("find the folder of the benchmarks: %w", err)
	}
	r := results{}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		c := exec.Command(program, "-test.run=^$", "-test.bench="+only, "-test.benchtime="+each.String(), "-test.timeout=5m")
		c.Dir = string(bytes.TrimSpace(source))
		text, err := c.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("run the benchmarks: %w\n%s", err, text)
		}
		if err := r.read(text); err != nil {
			return nil, err
		}
	}
	return r, nil
}
