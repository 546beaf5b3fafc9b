# Each target says what it does; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help base setup build dist image reproducible quick unit test bless docs lint doc deny mesh attacks matrix tck bench sizing dashboard run screenshot

runner := CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(CURDIR)/.tools/bin/wasm-bindgen-test-runner

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

base:
	@tools/setup.sh build

setup: ## install the tools of build and tests into a cache (first time about 2 minutes)
	@tools/setup.sh

build: base ## make target/attache.wasm, and target/attache-trap.wasm for the tests
	@tools/build.sh

dist: build ## make target/dist/attache-VERSION and its archive: what an operator installs (docs/install.md)
	@tools/dist.sh

image: build ## make target/dist/attache-VERSION-image.tar: the filter as an OCI image, without Docker
	@python3 -B tools/release image

reproducible: dist ## build all that is released again in another folder, and compare bit for bit
	@tools/reproducible.sh

quick: ## test natively, without the wasm build: units, golden cases, shape (TEST=policy: those of that name)
	cargo test --locked --workspace --exclude attache-mesh --lib --test golden --test shape --test schema -- $(TEST)

bless: ## rewrite what golden cases expect (TEST=policy: of those); then read the difference
	BLESS=1 cargo test --locked -q --test golden -- $(TEST)
	@git --no-pager diff --stat -- tests/golden
	@echo "bless: read the difference, line by line: git diff tests/golden"

docs: ## rewrite what is made of the configuration's types: its JSON Schema and the tables of docs/configuration.md; then read the difference
	BLESS=1 cargo test --locked -q -p attache-cli --test schema
	@git --no-pager diff --stat -- docs envoy packages/cli/tests

unit: setup build ## test the filter without Envoy: natively, on wasm32 under Node, and the setup scripts
	@tools/test_setup.sh
	cargo test --locked --workspace --exclude attache-mesh
	$(runner) tools/wasm-cargo.sh test --lib

mesh: setup dist ## test real Envoys, agents, clients and an authorization server together (TEST=router: those of that name)
	cargo test --locked -p attache-mesh $(if $(TEST),--test mesh -- $(TEST))

attacks: build ## play the attack corpora alone (the mesh plays them too): what is refused, what passes, in one table
	@cargo test --locked -q -p attache-mesh --test mesh -- attacks::

matrix: build ## play attacks, tour and both hold modes on each Envoy of tools/setup/envoys, and print a table (ENVOYS="1.36.2 1.40.0": on these)
	@tools/matrix.sh $(ENVOYS)

tck: build ## play a checkout of the official TCK against an agent, directly and through the filter (TCK=folder; see tests/tck.md)
	@cargo run --locked -q -p attache-mesh --bin tck -- $(TCK) $(ARGS)

test: unit mesh ## unit and mesh

lint: base ## check formatting, clippy, documentation, scripts, names and dependencies
	@tools/lint.sh

doc: ## make the documentation of the code (target/doc); warnings are errors
	@tools/doc.sh

deny: base ## check licences, sources and known vulnerabilities of dependencies
	@tools/deny.sh

bench: build ## measure what the filter costs in a real Envoy (BENCH=reach: one part, PLOTS=1: draw growth, see docs/performance.md)
	cargo run --release --locked -p attache-mesh --bin bench

sizing: build ## measure memory and CPU time of real Envoys by agents and workers, and what live updates add (about 5 minutes)
	@cargo run --release --locked -q -p attache-mesh --bin sizing

dashboard: setup build ## draw the pictures of docs/dashboards.md anew (docs/images/), from 3 minutes of traffic
	@cargo run --locked -q -p attache-mesh --bin dashboard

run: build ## start a whole mesh, show requests passing it, and serve a page of it (ONCE=1: stop after the requests)
	@cargo run --locked -q -p attache-mesh --bin run

screenshot: build ## make docs/images/run.png anew: the page of `make run`, in headless Chromium
	@SCREENSHOT=docs/images/run.png cargo test --locked -q -p attache-mesh --test mesh -- page::shows_the_tour
