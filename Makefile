# Tidegate: `make build` leaves a runnable bin/tidegate, `make run` shows it at work. `make help` lists the rest.
# Everything here runs on the Node.js that the npm package `node` brings, whatever the machine's own is.

export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build run test test-unit test-gateway test-cluster test-e2e test-suites lint format types bench bench-control profile profiles faults fuzz golden crds install-manifest clean

# npm writes this file last, so that a broken installation is done again.
INSTALLED := node_modules/.package-lock.json
BUILT := dist/.built
SOURCES := $(shell find src cmd -name '*.ts' ! -name '*.test.ts' 2>/dev/null)

# Options of the bench: make bench CASES=plain,tls ROUNDS=5 SECONDS=4
CASES ?=
ROUNDS ?=
SECONDS ?=
SUBJECTS ?=
# Files of the cluster tier to run: make test-cluster FILES='test-e2e/cases/*.test.ts'
FILES ?=
# Faults to try, and how long the API server is down: make faults FAULTS=8,13 MINUTES=3
FAULTS ?=
MINUTES ?= 10
# How long the soak takes.
SOAK ?= 30
# Options of the profile.
CASE ?= plain
WIRE ?= handle
# make run PORTS=free takes free ports in place of 8080, 8443, 9901 and 9101 to 9103.
PORTS ?=
# Options of the fuzzer: make fuzz MINUTES=10 SEED=1
SEED ?=

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-18s %s\n", $$1, $$2 }'

$(INSTALLED): package-lock.json
	@sh scripts/install.sh
	@touch $@

$(BUILT): $(INSTALLED) $(SOURCES) tsconfig.json tsconfig.build.json
	@echo "Compiling to dist/"
	@tsc -p tsconfig.build.json
	@touch $@

build: $(BUILT) ## install dependencies, compile, leave a runnable bin/tidegate
	@bin/tidegate --version >/dev/null
	@echo "Built: bin/tidegate"

run: $(BUILT) ## start sample backends and the gateway on manifests/example/, print requests to try (PORTS=free)
	@exec node scripts/run-example.ts $(if $(PORTS),--ports $(PORTS))

test: $(INSTALLED) ## lint, type check, build and every test; the last line is the sum
	@exec node scripts/test.ts

test-unit: $(INSTALLED) ## the tests that lie beside the code
	@exec node scripts/test.ts 'src/**/*.test.ts' 'cmd/**/*.test.ts'

test-gateway: $(BUILT) ## the built program against real sockets
	@exec node scripts/test.ts 'test/**/*.test.ts'

test-cluster: $(BUILT) ## the built program against an API server of the run's own (FILES='test-e2e/cases/*.test.ts')
	@exec node test-e2e/run.ts $(FILES)

test-e2e: $(BUILT) ## cases of it on kind, where Docker is at hand
	@exec sh test-e2e/kind/run.sh

test-suites: $(BUILT) ## other people's suites: h2spec, gRPC interop, curl, nghttp2, HAProxy, WebSocket cases, a browser (FILES='test/suites/h2spec.suite.ts')
	@sh test/suites/prerequisites.sh
	@exec node scripts/test.ts --at-once=1 $(if $(FILES),$(FILES),'test/suites/*.suite.ts')

lint: $(INSTALLED) ## formatting, lint rules and import directions
	@biome check --error-on-warnings .

format: $(INSTALLED) ## write what `make lint` can mend by itself
	@biome check --write .

types: $(INSTALLED) ## type check of everything, tests and scripts too
	@tsc -p tsconfig.json

bench: $(BUILT) ## nginx, HAProxy, Envoy, Traefik, Caddy and Tidegate in one run; writes docs/performance.md (CASES=, ROUNDS=, SECONDS=)
	@sh bench/prerequisites.sh
	@exec node bench/bench.ts $(if $(CASES),--cases $(CASES)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SUBJECTS),--subjects $(SUBJECTS))

bench-control: $(BUILT) ## Tidegate before an API server with 10,000 Ingresses; writes its part of docs/performance.md (SECONDS=30)
	@sh bench/prerequisites.sh
	@exec node bench/bench-control.ts $(if $(SECONDS),--seconds $(SECONDS))

profile: $(BUILT) ## where Tidegate's CPU time goes in a case of the bench (CASE=plain WIRE=handle SECONDS=5)
	@sh bench/prerequisites.sh
	@exec node bench/profile.ts --case $(CASE) --wire $(WIRE) $(if $(SECONDS),--seconds $(SECONDS))

profiles: $(BUILT) ## the profile of each case whose goal is not met, kept in docs/performance.md
	@sh bench/prerequisites.sh
	@exec node bench/profile.ts --page $(if $(SECONDS),--seconds $(SECONDS))

fuzz: $(INSTALLED) ## the codecs against Node's own (llhttp, nghttp2), in turns (MINUTES=10)
	@node src/http1/fuzz.ts --seconds $$(($(MINUTES) * 20)) $(if $(SEED),--seed $(SEED))
	@node src/http2/fuzz-requests.ts --seconds $$(($(MINUTES) * 20)) $(if $(SEED),--seed $(SEED))
	@node src/http2/fuzz-answers.ts --seconds $$(($(MINUTES) * 20)) $(if $(SEED),--seed $(SEED))

faults: $(BUILT) ## faults at full size; writes docs/reliability.md (FAULTS=8,13, MINUTES=10, SOAK=30)
	@exec node test-e2e/run.ts --program test-e2e/faults/run-faults.ts --minutes $(MINUTES) --soak-minutes $(SOAK) $(if $(FAULTS),--only $(FAULTS))

golden: $(INSTALLED) ## record the expected outputs of the golden cases anew
	@UPDATE_GOLDEN=1 node --test 'src/translate/**/golden.test.ts'

crds: $(INSTALLED) ## generate crds/, the chart's copy of it, and docs/reference/ from the schemas
	@node scripts/crds.ts && node scripts/reference.ts

install-manifest: $(INSTALLED) ## render manifests/install.yaml from the chart
	@node scripts/install-manifest.ts

clean: ## remove what was built and installed
	rm -rf dist node_modules
