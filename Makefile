# `make` alone lists the targets. They need Go, gcc, git and make; demo and integration also need root.

GO       ?= go
BIN      := $(CURDIR)/.build/bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# A number of runs, because a fuzz run that ends by the clock can fail for that alone
# (golang/go#75804).
FUZZTIME ?= 2000x
# Rounds of the benchmarks on a real daemon. Their figures are medians of the rounds.
BENCHTIME ?= 20x
# Any buildx works, with any builder. This one is built from tools/go.mod.
BUILDX   ?= $(BIN)/buildx

# These run by version, apart from tools/lint: actionlint doesn't build with golangci-lint's YAML
# library, and the others are rarely needed. The comments tell Renovate which modules they are.
# renovate: packageName=github.com/rhysd/actionlint
ACTIONLINT := v1.7.12
# renovate: packageName=golang.org/x/vuln
GOVULNCHECK := v1.9.0
# renovate: packageName=github.com/CycloneDX/cyclonedx-gomod
CYCLONEDX := v1.10.0

# The platforms of the programs that a release publishes as files. policy-guard asks Linux who its
# clients are.
CLI_PLATFORMS   := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
GUARD_PLATFORMS := linux/amd64 linux/arm64
RELEASE         := .build/release

PLATFORMS   := amd64 arm64 arm/v7 386 ppc64le riscv64 s390x
CODE_MODULES := . integration tools/schema tools/repo

# The buildkitds of test-matrix: the versions that tools/compat has, the current one, and the
# current one without root.
BUILDKITS := $(patsubst tools/compat/buildkit-%,%,$(wildcard tools/compat/buildkit-*)) current rootless
# The oldest buildkitd that works, and the tests that show best that it does: ways to invoke the
# frontend, refusals, each dispatcher, identical results.
OLDEST_BUILDKIT := v0.14
OLDEST_TESTS    := ^(TestTheChosenBuildkitd|TestWaysIn|TestRefusedBuilds|TestAClientsSourcePolicyIsHeldToWhatWasJudged|TestTheMessageOfARefusal|TestDispatchersOnTheChosenBuildkitd|TestAllowedResultIsTheSame)$$

# How many end-to-end tests run at a time. They often wait for daemons.
AT_ONCE ?= $$((2 * $$(nproc)))

GOLANGCI  := $(BIN)/golangci-lint
GOTESTSUM := $(BIN)/gotestsum
# The harness's own tests bake images: they run before the others. A time limit follows.
E2E       := $(GOTESTSUM) --format testname -- -count=1 -vet=off -parallel $(AT_ONCE) -timeout
LINTTOOLS := $(BIN)/.lint-tools
say       := @printf '\n== %s\n'

.PHONY: help demo test lint fmt vet modules vulnerabilities unit fuzz integration test-matrix \
	test-engine test-cosign test-bake test-buildkit bench tools image cross release-binaries schema \
	clean
.NOTPARALLEL:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show allowed and refused builds on a real BuildKit: by the image, and by policy-guard
	@echo 'compiling the demo: up to a minute the first time'
	@CGO_ENABLED=0 $(GO) -C integration run -trimpath -gcflags all=-dwarf=false ./cmd/demo

test: lint unit fuzz integration ## Run everything: lint, unit, fuzz, integration

lint: $(LINTTOOLS) ## Run the linters and go mod tidy on modules with code, and lint workflows
	@GO='$(GO)' GOLANGCI='$(GOLANGCI)' tools/check lint
	$(say) 'lint: workflows'
	@$(GO) run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT) -shellcheck= -pyflakes= && echo '0 issues.'

fmt: $(LINTTOOLS) ## Format all Go code
	@for module in $(CODE_MODULES); do (cd "$$module" && $(GOLANGCI) fmt ./...) || exit 1; done

vet: ## Run gofmt and go vet on modules with code
	@GO='$(GO)' tools/check vet

modules: ## Check that go mod tidy has nothing to change, in all modules
	@GO='$(GO)' tools/check modules

vulnerabilities: ## Look for known vulnerabilities in the code that is used (asks vuln.go.dev)
	@$(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK) ./...

unit: $(LINTTOOLS) ## Run the tests that need no daemon: with the race detector where goroutines are
	$(say) 'unit tests'
	@GO='$(GO)' GOTEST='$(GOTESTSUM) --format pkgname -- -vet=off' tools/check race
	@GO='$(GO)' GOTEST='$(GOTESTSUM) --format pkgname -- -vet=off' tools/check schema
	@GO='$(GO)' GOTEST='$(GOTESTSUM) --format pkgname -- -vet=off' tools/check repo

fuzz: ## Run each fuzz target FUZZTIME times
	$(say) 'fuzz, $(FUZZTIME) each'
	@GO='$(GO)' tools/fuzz '$(FUZZTIME)'

integration: $(LINTTOOLS) ## Run the end-to-end tests on a real buildkitd (root)
	$(say) 'end-to-end tests'
	@$(GO) -C integration run ./cmd/tools
	@cd integration && $(E2E) 80m ./cmd/... ./harness/...
	@cd integration && $(E2E) 80m .
	$(say) 'some of these tests on buildkitd $(OLDEST_BUILDKIT)'
	@cd integration && PF_BUILDKITD=$(OLDEST_BUILDKIT) $(E2E) 30m -run '$(OLDEST_TESTS)' .

test-matrix: $(LINTTOOLS) ## Run the end-to-end tests on several buildkitds: BUILDKITS="v0.14 rootless"
	@failed=; for buildkit in $(BUILDKITS); do \
		printf '\n== end-to-end tests on buildkitd %s\n' "$$buildkit"; \
		(cd integration && PF_BUILDKITD="$$buildkit" $(GOTESTSUM) --format pkgname -- -count=1 -timeout 60m ./...) || failed="$$failed $$buildkit"; \
	done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed" >&2; exit 1; }

test-engine: $(LINTTOOLS) ## Run docker build on a real Docker Engine in a network namespace (root)
	$(say) 'docker build on a Docker Engine: minutes to build it the first time'
	@cd integration && PF_ENGINE=1 $(GOTESTSUM) --format testname -- -count=1 -timeout 60m -run '^TestEngine' .

test-cosign: $(LINTTOOLS) ## Have cosign verify what policy-guard signs (root)
	$(say) 'cosign: up to 20 minutes to build it the first time'
	@cd integration && PF_COSIGN=1 $(GOTESTSUM) --format testname -- -count=1 -timeout 60m -run '^TestGuardProves' .

test-bake: $(LINTTOOLS) ## Run the bake file, for another platform and the tests too (root)
	$(say) 'bake: minutes for what compiles everything once more'
	@cd integration && PF_BAKE=1 $(GOTESTSUM) --format testname -- -count=1 -timeout 60m -run '^TestImageBake$$' .

test-buildkit: ## Run BuildKit's own tests through the image and policy-guard (root): SUITE=client RUN=TestCopy WAYS=mediate,builtin
	$(say) "BuildKit's own tests, straight and through the image and policy-guard"
	@$(GO) -C integration run ./cmd/suite $(if $(SUITE),-suite='$(SUITE)') $(if $(RUN),-run='$(RUN)') \
		$(if $(WAYS),-ways='$(WAYS)')

bench: ## Run the benchmarks (root)
	@$(GO) test -run '^$$' -bench . -benchmem ./...
	@cd integration && $(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 120m .

tools: $(LINTTOOLS) ## Build the real programs and linters that the other targets use
	@$(GO) -C integration run ./cmd/tools

$(LINTTOOLS): tools/lint/go.mod tools/lint/go.sum
	$(say) 'building golangci-lint, gotestsum, benchstat: minutes the first time'
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(GO) -C tools/lint build -trimpath -o $(BIN)/ tool
	@touch $@

image: ## Build the image with your buildx builder: IMAGE=registry/name:tag POLICY=policy.yaml
	@[ -x '$(BUILDX)' ] || command -v '$(BUILDX)' >/dev/null || $(GO) -C integration run ./cmd/tools
	@VERSION='$(VERSION)' $(BUILDX) bake image

cross: ## Cross-compile for every platform into .build/cross
	@mkdir -p .build/cross
	@for platform in $(PLATFORMS); do \
		arch=$${platform%/*}; variant=; [ "$$arch" = "$$platform" ] || variant=$${platform#*/v}; \
		out=.build/cross/policy-frontend-linux-$$(echo "$$platform" | tr / -); \
		GO='$(GO)' VERSION='$(VERSION)' GOOS=linux GOARCH=$$arch GOARM=$$variant tools/build cli "$$out" || exit 1; \
		printf '%s %s bytes, %s with gzip -9\n' "$$out" "$$(wc -c <"$$out")" "$$(gzip -9 -c "$$out" | wc -c)"; \
	done

release-binaries: ## Build the CLI and policy-guard into .build/release, with SBOMs
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	@for file in $(CLI_PLATFORMS:%=cli/policy-frontend/%) $(GUARD_PLATFORMS:%=guard/policy-guard/%); do \
		program=$${file%%/*}; file=$${file#*/}; platform=$${file#*/}; \
		os=$${platform%/*}; arch=$${platform#*/}; suffix=; [ "$$os" != windows ] || suffix=.exe; \
		name=$${file%%/*}-$(VERSION)-$$os-$$arch; echo "$$name"; \
		GO='$(GO)' VERSION='$(VERSION)' GOOS=$$os GOARCH=$$arch \
			tools/build "$$program" "$(RELEASE)/$$name$$suffix" || exit 1; \
		$(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX) bin -json -noserial \
			-version '$(VERSION)' -output "$(RELEASE)/$$name.cdx.json" "$(RELEASE)/$$name$$suffix" || exit 1; \
	done
	@cd $(RELEASE) && sha256sum policy-* >checksums.txt && cat checksums.txt

schema: ## Rewrite the JSON schemas from the Go types
	@$(GO) -C tools/schema run .

clean: ## Remove the built files, and the leftovers of killed tests (root)
	@for dir in "$${TMPDIR:-/tmp}"/pfbk[0-9]*-* .build; do \
		[ -d "$$dir" ] || continue; \
		pid=$${dir##*/pfbk}; \
		[ ! -d "/proc/$${pid%%-*}" ] || { echo "$$dir is in use, left alone"; continue; }; \
		under=$$(cd "$$dir" && pwd -P)/; \
		awk -v under="$$under" 'index($$2, under) == 1 { print $$2 }' /proc/self/mounts | sort -r | xargs -r -n 1 umount || exit 1; \
		rm -rf --one-file-system "$$dir"; echo "removed $$dir"; \
	done
