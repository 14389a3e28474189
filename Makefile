SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 20s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT     := bin/tools/golangci-lint-v2.15.0
# SQLite (C, translated to Go) and its encryption start no goroutine: looking for
# races in them finds nothing, and costs more than all of the tests besides. The
# model of the cluster starts none either, nor do the arithmetic of cryptography and
# compression, which cost a fourth of the tests of signing in.
UNRACED  := $(foreach pkg,github.com/ncruces/go-sqlite3-wasm/... golang.org/x/crypto/xts golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b crypto/internal/fips140/... compress/flate gatehouse/internal/cluster/model,-gcflags=$(pkg)=-race=false)

# What takes longest, most of it spent waiting for leases, faults and browsers, begins
# first, while all else is tested beside it; go test prints in this order as well.
LONGEST  := ./e2e ./gateway ./authn

NODE_MODULES   := console/app/node_modules/.package-lock.json
CONSOLE        := console/web/dist/index.html
CONSOLE_SOURCE := $(shell find console/app -type f -not -path '*/node_modules/*')
GENERATED      := console/app/src/generated configs/schema.json docs/configuration.md

.PHONY: help run build test test-short lint generate fuzz bench clean parts

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## build everything and start the demo at https://acme.localhost:8443/
	bin/gatehouse demo

build: $(CONSOLE) ## build the console and the binary (bin/gatehouse)
	go build -ldflags '-X main.version=$(VERSION)' -o bin/gatehouse ./cmd/gatehouse

test: parts build ## run every test, with real parts (installs those that are missing)
	npm --prefix console/app test
	TMPDIR=$$(./.ci/memory) go test -race $(UNRACED) -timeout 45m $(LONGEST) ./...

test-short: ## run the tests that need no external parts (under 2 minutes)
	go test -short -timeout 5m $$(go list ./... | grep -v '/e2e$$')

lint: $(LINT) generate ## check form, style and security of all code
	git diff --exit-code -- $(GENERATED)
	go mod verify
	go mod tidy -diff
	go vet ./...
	$(LINT) run ./...

generate: $(NODE_MODULES) ## write the generated files anew (API client, config schema)
	go generate ./...
	npm --prefix console/app run generate

# Where go test fails and has found nothing, that is its own: at the end of FUZZTIME its
# coordinator may see that the time is over before its workers' context does, and then
# takes the deadline for an error.
fuzz: ## run each fuzz target for FUZZTIME (20s)
	mkdir -p out
	go list ./... | while read -r pkg; do \
	  go test -list '^Fuzz' "$$pkg" | { grep '^Fuzz' || true; } | while read -r target; do \
	    echo "== $$pkg $$target"; \
	    until go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$pkg" | tee out/fuzz.log; do \
	      grep -qx ' *context deadline exceeded' out/fuzz.log && ! grep -q 'Failing input' out/fuzz.log || exit 1; \
	    done; \
	  done; \
	done

bench: build ## print the side-by-side table (docs/performance.md)
	go run ./bench

clean: ## remove what the targets made
	rm -rf bin out data console/web/dist console/app/node_modules

parts: ## install the test parts that are missing (Debian: redis-server, postgresql, chromium, php, simplesamlphp)
	./.ci/parts

$(LINT):
	mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/tools/golangci-lint $@

$(NODE_MODULES): console/app/package-lock.json
	npm --prefix console/app ci --no-audit --no-fund
	touch $@

$(CONSOLE): $(NODE_MODULES) $(CONSOLE_SOURCE)
	npm --prefix console/app run build
	touch $@
