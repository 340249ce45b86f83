# Everything is built with the same flags, so that one build cache serves the
# program, its tests and the node modules.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
GO ?= go
SPARK := bin/spark
WASM := plugins/nodes/wasm/stock.wasm
# What the node modules are made of.
GUEST := $(shell find sdk/node sdk/fault plugins/nodes -name '*.go' ! -name '*_test.go' -o -name '*.json' ! -path '*/testdata/*')

.PHONY: build demo demo-check test kill postgres check generate bench load simulate fuzz race clean help

build: $(WASM) ## build bin/spark, with the stock node modules embedded
	@$(GO) build -ldflags "-s -w" -o $(SPARK) ./hostd/cmd/spark

$(WASM): $(GUEST) go.mod
	@$(GO) run ./sdk/node/cmd/modbuild -o $@ ./plugins/nodes/stock >/dev/null

demo: build ## run the whole loop on the documentation of the Go standard library
	@$(SPARK) demo

demo-check: build ## the demo as CI runs it: no request may fail or be mixed
	@$(SPARK) demo --check

test: $(WASM) postgres ## run every test
	@$(GO) test ./...

# The tests run a private PostgreSQL server of their own.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing Debian's postgresql for the tests" && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } || \
	{ echo "the tests need PostgreSQL: install it, on Debian with: apt-get install postgresql"; exit 1; }

check: $(WASM) ## formatting, vet, staticcheck, generated code, tidy modules
	@files=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$files" ] || { echo "gofmt wants:"; echo "$$files"; exit 1; }
	@$(GO) vet ./...
	@GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./hostd/cmd/spark
	@GOOS=wasip1 GOARCH=wasm $(GO) vet ./plugins/nodes/stock
	@$(GO) build -C tools -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	@bin/staticcheck ./...
	@$(GO) run -C tools ./protogen -check
	@$(GO) run ./plugins/nodes/nodedoc -check -o docs/NODES.md ./plugins/nodes/stock
	@$(GO) run ./core/telemetry/cmd/settings -check
	@$(GO) run ./core/graph/cmd/schema -check
	@$(GO) mod tidy -diff

generate: ## write what is generated anew
	@$(GO) run -C tools ./protogen
	@$(GO) run ./plugins/nodes/nodedoc -o docs/NODES.md ./plugins/nodes/stock
	@$(GO) run ./core/telemetry/cmd/settings
	@$(GO) run ./core/graph/cmd/schema

bench: $(WASM) ## measure, beside the peers
	@$(GO) run -C peers ./cmd/bench

load: ## latency of runs while a telemetry backend is gone for a minute, and what is lost; 18 minutes
	@$(GO) test ./testkit/telemetry -run '^$$' -bench Outage -benchtime 1x -timeout 0

simulate: ## the simulation of the statistics with many replications
	@$(GO) test ./core/stats -run Simulation -v -timeout 60m -args -stats.reps 200000

kill: ## kill a host with runs in flight, five hundred times
	@$(GO) test ./core/host -run 'TestKill$$' -v -timeout 30m -args -kill.rounds 500

race: $(WASM) ## every test under the race detector; needs a C compiler
	@CGO_ENABLED=1 $(GO) test -race ./...

clean: ## remove what was built
	rm -rf bin $(WASM)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
