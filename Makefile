# Targets with a "##" comment are those for people; `make` lists them.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory

GO        ?= go
# A count: at the end of a time, go test -fuzz now and then reports its own
# deadline as a failure.
FUZZTIME  ?= 5000x
BENCHTIME ?= 1s

# Packages whose tests use a real server or Chef's own signer when asked to.
REAL = $$(grep -rlE --include='*_test.go' 'goiarditest\.|CHEFSYNC_GOIARDI|CHEFSYNC_MIXLIB' . | xargs -r dirname | sort -u)

headline = @printf '\n== %s\n' '$(1)'

.DEFAULT_GOAL := help
.PHONY: help demo build test test-race test-goiardi lint fuzz bench arch ci

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Replicate between two servers in memory: the first minute
	$(call headline,demo)
	@$(GO) run ./cli demo

build: ## Build bin/chef-sync-ctl
	$(call headline,build)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/chef-sync-ctl ./cli

test: ## Run all tests that need nothing but Go
	$(call headline,test)
	@$(GO) test -timeout 20m ./...
	@echo 'SKIPPED here: tests against real servers and signers (make test-goiardi)'

test-race: ## Run the same tests with the race detector (needs a C compiler)
	$(call headline,test-race)
	@.ci/need gcc
	@CGO_ENABLED=1 $(GO) test -race -timeout 40m ./...

test-goiardi: ## Run the tests against a real server, goiardi, and Chef's own signer
	$(call headline,test-goiardi)
	@.ci/need goiardi mixlib
	@mkdir -p bin
	@CHEFSYNC_GOIARDI=1 CHEFSYNC_MIXLIB=1 $(GO) test -count=1 -v -timeout 20m $(REAL) > bin/test-goiardi.log 2>&1 || \
		{ grep -vE '^ *(=== |--- (PASS|SKIP))|different, as listed' bin/test-goiardi.log; echo 'all of it: bin/test-goiardi.log'; exit 1; }
	@if grep -E 'SKIPPED.*CHEFSYNC_(GOIARDI|MIXLIB)' bin/test-goiardi.log; then echo 'skipped although all they need is here' >&2; exit 1; fi
	@grep -E '^ *--- SKIP|SKIPPED:|^ok' bin/test-goiardi.log

lint: ## Check format, go vet and staticcheck
	$(call headline,lint)
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './.*')); \
		if [ -n "$$unformatted" ]; then printf 'not formatted (gofmt -w FILE):\n%s\n' "$$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## Run every fuzz target for FUZZTIME (5000x: so many inputs)
	$(call headline,fuzz)
	@targets=$$($(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ { names = names " " $$1 } /^ok/ { split(names, n, " "); for (i in n) print $$2, n[i]; names = "" }'); \
	[ -n "$$targets" ] || { echo 'SKIPPED: there is no fuzz target'; exit 0; }; \
	while read -r package target; do \
		echo "$$package $$target"; \
		out=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" 2>&1) || { echo "$$out"; exit 1; }; \
		tail -n 1 <<< "$$out"; \
	done <<< "$$targets"

bench: ## Run the benchmarks, each for BENCHTIME (1s)
	$(call headline,bench)
	@$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -timeout 40m ./... | grep -vE 'no test files|^(PASS|ok|goos|goarch|cpu)'

arch: ## Check which package may import which, and the rules of the house
	$(call headline,arch)
	@$(GO) test -count=1 ./pkg/arch

ci: ## Everything, what fails early first; .ci/run calls it
	@tier() { $(MAKE) "$$1"; }; \
	skip() { printf '\n== %s\nSKIPPED: %s\n' "$$1" "$$2"; skipped+=" $$1"; }; \
	skipped=; \
	for t in arch lint build test demo; do tier $$t; done; \
	if why=$$(.ci/need goiardi mixlib 2>&1); then tier test-goiardi; else skip test-goiardi "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need gcc 2>&1); then tier test-race; else skip test-race "$${why##*$$'\n'}"; fi; \
	for t in fuzz bench; do tier $$t; done; \
	printf '\n== ci passed%s\n' "$${skipped:+, SKIPPED:$$skipped}"
