# The whole developer interface; `make help` lists it. Set-up makes .venv/ and .hes/ here and nothing
# outside but package caches (and, for `make test` as root, Debian packages).

PYTHON ?= python3
METERS ?= 100
# Seconds that `make fuzz` and `make soak` take.
DURATION ?= 600
HES_DATA ?= .hes

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
PYTEST := $(BIN)/pytest
WEB := hes/console/web
NODE_MODULES := $(WEB)/node_modules/.package-lock.json
CONSOLE := hes/console/static/index.html
WEB_SOURCES := $(wildcard docs/reference/openapi.json) $(shell find $(WEB) -type f \
    -not -path '*/node_modules/*' -not -path '*/.*' -not -name '*.gen.ts' 2>/dev/null)
CODE := hes protocol collectors firmware simulators tests
# Stamps: which lock file .venv was last filled from.
BOOTSTRAP := .venv/.hes-bootstrap
RUN := .venv/.hes-run
DEV := .venv/.hes-dev
PEERS := .venv/.hes-peers
FUZZ := .venv/.hes-fuzz

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- what people type

.PHONY: run
run: ## set up what is missing, start the head-end with METERS=100 simulated meters
	@$(MAKE) -s -j servers console
	@exec $(BIN)/hes up --data $(HES_DATA) --meters $(METERS) $(ARGS)

.PHONY: test
test: ## set up what is missing, real servers included, and run every test
	@.ci/system-packages
	@$(MAKE) -s -j $(PEERS) servers console
	@$(MAKE) check
	@$(MAKE) -s -j2 -k --output-sync=target integration system

.PHONY: check
check: ## format, lint, types, import contracts, unit tests (under 2 minutes)
	@$(MAKE) -s -j $(DEV) $(if $(wildcard $(WEB)/package.json),$(NODE_MODULES))
	@$(MAKE) -s -j -k --output-sync=target lint types contracts console-check unit

.PHONY: bench
bench: $(PEERS) servers console ## measure against the peers, write bench/results.json, print the table
	@mkdir -p bench
	@$(call pytest_if_any,tests/bench) --timeout=0

.PHONY: fuzz
fuzz: $(FUZZ) ## feed the decoders broken frames for DURATION=600 seconds
	@export HES_FUZZ_SECONDS=$(DURATION); $(call pytest_if_any,tests/fuzz) --timeout=0

.PHONY: soak
soak: $(DEV) servers console ## run the whole system for DURATION=600 seconds
	@export HES_SOAK_SECONDS=$(DURATION); $(call pytest_if_any,tests/soak) --timeout=0

.PHONY: lock
lock: $(BOOTSTRAP) ## write requirements/*.txt again from pyproject.toml
	@$(call lock,bootstrap,--group bootstrap)
	@$(call lock,run,pyproject.toml --extra embedded)
	@$(call lock,dev,pyproject.toml --extra embedded --group dev -c requirements/run.txt)
	@$(call lock,peers,pyproject.toml --extra embedded --group dev --group peers -c requirements/dev.txt)
	@$(call lock,fuzz,pyproject.toml --extra embedded --group dev --group fuzz -c requirements/dev.txt)

.PHONY: clean
clean: ## remove what set-up made, except the data in .hes
	rm -rf .venv hes/console/static $(WEB)/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Versions and hashes, no host.
lock = .ci/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 \
    $(2) $(UPGRADE) -o requirements/$(1).txt

# A folder whose tests are still to come is no failure.
pytest_if_any = run() { [ -n "$$(find $(1) -name 'test_*.py' 2>/dev/null)" ] || \
    { echo 'nothing in $(1) yet'; exit 0; }; $(PYTEST) $(1) "$$@"; }; run

# ---- parts of `check` and `test`

.PHONY: lint
lint:
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)

.PHONY: types
types:
	@$(BIN)/mypy

.PHONY: contracts
contracts:
	@$(BIN)/lint-imports | tail -n 4; exit $${PIPESTATUS[0]}

# In two halves, for two cores.
.PHONY: unit
unit: unit-of-protocol unit-of-others

.PHONY: unit-of-protocol
unit-of-protocol:
	@$(PYTEST) tests/unit/hes_protocol

.PHONY: unit-of-others
unit-of-others:
	@$(PYTEST) tests/unit --ignore=tests/unit/hes_protocol

# Each part starts servers of its own and waits for them for half of its time: two go side by side.
.PHONY: integration
integration:
	@$(PYTEST) tests/integration

.PHONY: system
system:
	@$(PYTEST) $(addprefix --ignore=tests/,unit integration bench fuzz soak)

.PHONY: console-check
console-check: $(if $(wildcard $(WEB)/package.json),$(NODE_MODULES))
	@if [ -e $(WEB)/package.json ]; then cd $(WEB) && npm run --silent --if-present check; fi

# ---- set-up

# npm and vite draw on terminals; what they said is of interest when they fail.
quietly = { said=$$($(1) 2>&1 </dev/null) || { echo "$$said" >&2; exit 1; }; }

# A virtual environment knows its own path: one that was moved or lost its Python is made again.
ifneq ($(shell cat .venv/.hes-path 2>/dev/null && .venv/bin/python -c pass 2>&1),$(CURDIR))
.PHONY: $(BOOTSTRAP)
endif

$(BOOTSTRAP): requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: make PYTHON=python3.xx' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo 'Python lacks its venv module. Have root run: apt-get install python3-venv' >&2; exit 1; }
	@echo 'setting up Python packages ...' >&2
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r requirements/bootstrap.txt
	@echo '$(CURDIR)' > .venv/.hes-path
	@touch $@

install = .ci/uv pip install --quiet --require-hashes -r requirements/$(1).txt

$(RUN): $(BOOTSTRAP) requirements/run.txt pyproject.toml
	@$(call install,run)
	@.ci/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUN) requirements/dev.txt
	@$(call install,dev)
	@touch $@

$(PEERS): $(DEV) requirements/peers.txt
	@$(call install,peers)
	@touch $@

$(FUZZ): $(DEV) requirements/fuzz.txt
	@$(call install,fuzz)
	@touch $@

# PostgreSQL with TimescaleDB; what Redis needs is a Python package.
.PHONY: servers
servers: $(RUN)
	@[ -n "$$HES_DATABASE_URL" ] || $(BIN)/python -m hes.services $(HES_DATA)

.PHONY: console
console: $(if $(wildcard $(WEB)/package.json),$(CONSOLE))

$(NODE_MODULES): $(WEB)/package-lock.json
	@command -v npm >/dev/null || \
	    { echo 'npm is needed to build the console: install Node.js 20 or newer' >&2; exit 1; }
	@echo 'setting up the console ...' >&2
	@cd $(WEB) && $(call quietly,npm ci --prefer-offline --no-audit --no-fund --ignore-scripts)
	@touch $@

$(CONSOLE): $(NODE_MODULES) $(WEB_SOURCES)
	@cd $(WEB) && $(call quietly,npm run build)
	@touch $@
