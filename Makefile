# `make` lists the targets with a "##" comment.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory

GO        ?= go
# A count: at the end of a time, go test -fuzz sometimes reports its own
# deadline as a failure.
FUZZTIME  ?= 5000x
BENCHTIME ?= 1s
# How many random histories of the engine and the scanner make test-long runs, for each
# property.
CHECKS    ?= 10000

# What make synth, diff, deploy and destroy are about. CDK_FLAGS are further flags
# of the cdk command, such as --profile. STACK names the stack that destroy removes,
# by default that of CONFIG.
CONFIG    ?= chef-sync.toml
STACK     ?=
CDK       ?= npx --yes aws-cdk@2.1148.1
CDK_FLAGS ?=

# Where make template writes to, and what it builds the functions for: arm64 or x86_64.
RELEASE_AWS  ?= bin/release/aws
ARCHITECTURE ?= arm64

# All packages but the CDK app, which takes minutes to build: test-infra is for it.
PACKAGES = $$($(GO) list ./... | grep -vE '/infra(/chefsync)?$$')
FOLDERS  = $$($(GO) list -f '{{.Dir}}' ./... | grep -vE '/infra(/chefsync)?$$')

# Packages whose tests use a real server or Chef's own signer when asked to.
REAL = $$(grep -rlE --include='*_test.go' 'goiarditest\.(Start|Need)|CHEFSYNC_GOIARDI|CHEFSYNC_MIXLIB' . | xargs -r dirname | sort -u)

# Packages whose tests ask AWS when they know where, and the names of these tests:
# the suites of what is kept, schedules, the functions, and sessions of the program
# on a stack.
# Tests that count requests, break them off or kill writers ask servers of their
# own, always.
AWS       = $$(grep -rlE --include='*_test.go' 'CHEFSYNC_(AWS|S3)_ENDPOINT' . | xargs -r dirname | sort -u)
AWS_TESTS = AnEndpoint$$|AnEmulator|OnAStack$$

PACKAGE_TOOLS = git nfpm cyclonedx-gomod goiardi rpm man systemd-analyze

# Node's support ends before it stops working; CDK would say so each time.
node = JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=$$(node -p 'process.versions.node.split(".")[0]')
cdk  = @$(node) CDK_DISABLE_CLI_TELEMETRY=true $(CDK)

headline = @printf '\n== %s\n' '$(1)'

.DEFAULT_GOAL := help
.PHONY: help demo demo-serve build docs man picture test test-race test-long test-web test-goiardi test-aws test-infra test-alerts lint fuzz bench arch template synth diff deploy destroy localstack localstack-down ci
.PHONY: release test-release test-package

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Replicate between two servers in memory: the first minute
	$(call headline,demo)
	@echo 'compiling; the first time this takes about a minute'
	@$(GO) run ./cli/demo demo

demo-serve: ## The same, then leave both servers, the daemon and the status page running
	$(call headline,demo-serve)
	@echo 'compiling; the first time this takes about a minute'
	@$(GO) run ./cli/demo demo --serve

build: ## Build bin/chef-sync-ctl
	$(call headline,build)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/chef-sync-ctl ./cli/chef-sync-ctl

docs: ## Write docs/commands.md, docs/configuration.md and docs/compatibility.md
	$(call headline,docs)
	$(GO) run ./cli/internal/reference/generate docs docs

man: ## Write the manual pages to bin/man
	$(call headline,man)
	$(GO) run ./cli/internal/reference/generate man bin/man/man1

release: ## Build a release of the commit into dist: programs, packages, image, checksums
	$(call headline,release)
	@.ci/need git nfpm cyclonedx-gomod
	@rm -rf dist
	@CHEFSYNC_TEMPLATE=1 .ci/release dist

test: ## Run all tests that need nothing but Go
	$(call headline,test)
	@$(GO) test -timeout 20m $(PACKAGES)
	@echo 'SKIPPED here: tests against real servers and signers (make test-goiardi), emulators of AWS (make test-aws), and a browser (make test-web)'

test-race: ## Run the same tests with the race detector (needs a C compiler)
	$(call headline,test-race)
	@.ci/need gcc
	@CGO_ENABLED=1 $(GO) test -race -timeout 40m $(PACKAGES)

test-long: ## Run CHECKS (10000) random histories of engine and scanner; make test runs 100
	$(call headline,test-long)
	@$(GO) test -count=1 -v -timeout 60m -run '^Test(Any|VerifyAgrees|ReplicationByChangeLogRandomHistory)' ./pkg/replication ./pkg/feed/scan -rapid.checks=$(CHECKS) | grep -v '^=== RUN'

test-web: ## Look at the status page in Chromium; screenshots are kept in bin/screenshots
	$(call headline,test-web)
	@.ci/need chromium promtool
	@rm -rf bin/screenshots
	$(GO) vet -tags browser ./cli/internal/statusserver
	@CHEFSYNC_PROMTOOL=1 $(GO) test -count=1 -v -timeout 10m -tags browser -run '^TestBrowser|^TestPromtool' ./cli/internal/statusserver | grep -v '^=== RUN'
	@echo "$$(ls bin/screenshots | wc -l) screenshots in bin/screenshots"

picture: ## Write docs/monitoring/status-page.png, as Chromium shows the page
	$(call headline,picture)
	@.ci/need chromium
	@$(GO) test -count=1 -tags browser -run '^TestBrowserPages$$' ./cli/internal/statusserver
	cp bin/screenshots/fleet-desktop-light.png docs/monitoring/status-page.png

test-goiardi: ## Run the tests against a real server, goiardi, and Chef's own signer
	$(call headline,test-goiardi)
	@.ci/need goiardi mixlib
	@mkdir -p bin
	@CHEFSYNC_GOIARDI=1 CHEFSYNC_MIXLIB=1 $(GO) test -count=1 -v -timeout 20m $(REAL) > bin/test-goiardi.log 2>&1 || \
		{ grep -vE '^ *(=== |--- (PASS|SKIP))|different, as listed' bin/test-goiardi.log; echo 'all of it: bin/test-goiardi.log'; exit 1; }
	@if grep -E 'SKIPPED.*CHEFSYNC_(GOIARDI|MIXLIB)' bin/test-goiardi.log; then echo 'skipped although all they need is here' >&2; exit 1; fi
	@grep -E '^ *--- SKIP|SKIPPED:|^ok' bin/test-goiardi.log

test-aws: ## Run the tests against emulators of AWS, moto and versitygw
	$(call headline,test-aws)
	@.ci/need moto versitygw aws
	@mkdir -p bin
	@if command -v goiardi >/dev/null; then export CHEFSYNC_GOIARDI=1; fi; \
		.ci/emulators $(GO) test -count=1 -v -timeout 20m -run '$(AWS_TESTS)' $(AWS) > bin/test-aws.log 2>&1 || \
		{ grep -E -B20 'FAIL|_test\.go:[0-9]+: |^panic:' bin/test-aws.log | grep -vE '^ *(=== |--- (PASS|SKIP))|different, as listed' || \
		tail -n 20 bin/test-aws.log; echo 'all of it: bin/test-aws.log'; exit 1; }
	@if grep -E 'SKIPPED.*CHEFSYNC_(AWS|S3)|no tests to run' bin/test-aws.log; then echo 'skipped although all they need is here' >&2; exit 1; fi
	@grep -E '^--- PASS|^ *--- SKIP|^ +[a-z_]+\.go:[0-9]+: SKIPPED:|^ok' bin/test-aws.log

test-infra: ## Check the stack on AWS and lint it (needs Node; UPDATE=-update accepts changes)
	$(call headline,test-infra)
	@.ci/need node staticcheck
	$(GO) vet -tags infra ./infra/...
	bin/tools/staticcheck -tags infra ./infra/...
	@if why=$$(.ci/need cfn-lint 2>&1); then lint=1; else lint=; echo "SKIPPED: cfn-lint: $${why##*$$'\n'}"; fi; \
		$(node) CHEFSYNC_CFNLINT=$$lint $(GO) test -tags infra -timeout 20m ./infra ./infra/chefsync $(UPDATE)

test-alerts: ## Check alert rules and dashboards with promtool (Debian: prometheus)
	$(call headline,test-alerts)
	@.ci/need promtool
	@cd docs/monitoring && promtool check rules alerts.yml && promtool test rules alerts_test.yml
	@CHEFSYNC_PROMTOOL=1 $(GO) test -count=1 -run 'Alert|Dashboard|Promtool' ./pkg/arch

test-release: ## Build a release twice and compare (FRESH=1: for all platforms, compile twice)
	$(call headline,test-release)
	@.ci/need git nfpm cyclonedx-gomod
	@.ci/test-release $(if $(FRESH),fresh)

test-package: ## Install, run, upgrade and remove the packages (Debian, as root)
	$(call headline,test-package)
	@.ci/test-package --check
	@.ci/need $(PACKAGE_TOOLS)
	@mkdir -p bin
	@.ci/test-package > bin/test-package.log 2>&1 || { cat bin/test-package.log; exit 1; }
	@if grep -E 'SKIPPED|no tests to run' bin/test-package.log; then echo 'skipped although all they need is here' >&2; exit 1; fi
	@grep -E '^--- PASS|exposure|^ok' bin/test-package.log

lint: ## Check format, go.mod, and what .golangci.yml switches on
	$(call headline,lint)
	@.ci/need golangci-lint
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './.*')); \
		if [ -n "$$unformatted" ]; then printf 'not formatted (gofmt -w FILE):\n%s\n' "$$unformatted" >&2; exit 1; fi
	$(GO) mod tidy -diff
	bin/tools/golangci-lint run $(FOLDERS)

fuzz: ## Run every fuzz target for FUZZTIME (5000x: that number of inputs)
	$(call headline,fuzz)
	@targets=$$($(GO) test -list '^Fuzz' $(PACKAGES) | awk '/^Fuzz/ { names = names " " $$1 } /^ok/ { split(names, n, " "); for (i in n) print $$2, n[i]; names = "" }'); \
	[ -n "$$targets" ] || { echo 'SKIPPED: there is no fuzz target'; exit 0; }; \
	while read -r package target; do \
		echo "$$package $$target"; \
		out=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" 2>&1) || { echo "$$out"; exit 1; }; \
		tail -n 1 <<< "$$out"; \
	done <<< "$$targets"

bench: ## Run the benchmarks, each for BENCHTIME (1s)
	$(call headline,bench)
	@$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -timeout 40m $(PACKAGES) | grep -vE 'no test files|^(PASS|ok|goos|goarch|cpu)'

arch: ## Check which package may import which, and the other rules of the project
	$(call headline,arch)
	@$(GO) test -count=1 ./pkg/arch

template: ## Write the template for all configurations, with the functions, to bin/release/aws
	$(call headline,template)
	@.ci/need node
	@rm -f $(RELEASE_AWS)/*.zip
	@$(node) CDK_CONTEXT_JSON='{"release":"$(RELEASE_AWS)","architecture":"$(ARCHITECTURE)"}' $(GO) run ./infra
	@install -m 755 infra/deploy.sh $(RELEASE_AWS)
	@ls -l $(RELEASE_AWS)

synth: ## Write the stack's template to cdk.out, from CONFIG (chef-sync.toml)
	$(call headline,synth)
	@.ci/need node
	@$(node) CDK_CONTEXT_JSON='{"config":"$(CONFIG)"}' CDK_OUTDIR="$$PWD/cdk.out" $(GO) run ./infra
	@ls cdk.out/*.template.json

diff: ## Show what make deploy would change
	$(call headline,diff)
	@.ci/need node npx
	$(cdk) diff --no-notices -c config='$(CONFIG)' $(CDK_FLAGS)

deploy: ## Deploy the stack to AWS; infra/README.md tells all
	$(call headline,deploy)
	@.ci/need node npx
	$(cdk) deploy --no-notices -c config='$(CONFIG)' $$([ -t 0 ] || echo --require-approval never) $(CDK_FLAGS)

destroy: ## Remove the stack; unless told otherwise its data stays
	$(call headline,destroy)
	@.ci/need node npx
	$(cdk) destroy --no-notices -c config='$(CONFIG)' -c remove=true -c stack='$(STACK)' $$([ -t 0 ] || echo --force) $(CDK_FLAGS)

localstack: ## Deploy to LocalStack, with two Chef Servers, and see that it works (needs Docker, Node)
	@localstack/run all

localstack-down: ## Remove LocalStack and the Chef Servers
	@localstack/run down

ci: ## Everything, what fails early first; .ci/run calls it
	@tier() { $(MAKE) "$$1"; }; \
	skip() { printf '\n== %s\nSKIPPED: %s\n' "$$1" "$$2"; skipped+=" $$1"; }; \
	skipped=; \
	for t in arch lint build test demo; do tier $$t; done; \
	if why=$$(.ci/need chromium promtool 2>&1); then tier test-web; else skip test-web "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need promtool 2>&1); then tier test-alerts; else skip test-alerts "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need goiardi mixlib 2>&1); then tier test-goiardi; else skip test-goiardi "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need moto versitygw aws 2>&1); then tier test-aws; else skip test-aws "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need git nfpm cyclonedx-gomod 2>&1); then tier test-release; else skip test-release "$${why##*$$'\n'}"; fi; \
	if why=$$({ .ci/test-package --check && .ci/need $(PACKAGE_TOOLS); } 2>&1); then tier test-package; else skip test-package "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need gcc 2>&1); then tier test-race; else skip test-race "$${why##*$$'\n'}"; fi; \
	if why=$$(.ci/need node 2>&1); then tier test-infra; .ci/need cfn-lint 2>/dev/null || skipped+=' cfn-lint'; $(MAKE) synth CONFIG=infra/testdata/chef-sync.toml; else skip 'test-infra and synth' "$${why##*$$'\n'}"; fi; \
	for t in fuzz bench; do tier $$t; done; \
	printf '\n== ci passed%s\n' "$${skipped:+, SKIPPED:$$skipped}"
