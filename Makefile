SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 20s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT     := bin/tools/golangci-lint-v2.15.0

CONSOLE_SOURCES := $(shell find console/app -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: help run build console test test-short lint fuzz bench clean parts

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## build everything and start the demo at https://acme.localhost:8443/
	bin/gatehouse demo

build: console ## build the console and the binary (bin/gatehouse)
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/gatehouse ./cmd/gatehouse

test: parts build ## run every test, with real parts (installs those that are missing)
	npm --prefix console/app test
	go test -race -timeout 30m ./...

test-short: ## run the tests that need no external parts (under 2 minutes)
	go test -short -timeout 5m ./...

lint: $(LINT) ## check form, style and security of all code
	go mod verify
	go mod tidy -diff
	go vet ./...
	$(LINT) run ./...

fuzz: ## run each fuzz target for FUZZTIME (20s)
	go list ./... | while read -r pkg; do \
	  go test -list '^Fuzz' "$$pkg" | { grep '^Fuzz' || true; } | while read -r target; do \
	    echo "== $$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
	  done; \
	done

bench: build ## print the side-by-side table (docs/performance.md)
	go run ./bench

clean: ## remove what the targets made
	rm -rf bin out data console/dist console/app/node_modules

parts: ## install the test parts that are missing (Debian: redis-server, postgresql, chromium)
	./.ci/parts

$(LINT):
	mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/tools/golangci-lint $@
