# Everything from a clone: needs Python >= 3.11, make and git. Flags go through ARGS, as in: make up ARGS='--nodes 5'
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
SEEDS ?= 200
MINUTES ?= 10
SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
# PySyncObj comes as source only: what builds it is hashed and installed first.
INSTALL := $(PIP) install --require-hashes --only-binary :all: --no-binary pysyncobj --no-build-isolation --use-pep517 --no-compile
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate

# Made anew when what they install changes. Making the first removes the others, which lie in the environment.
SERVER := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

.PHONY: help
help: ## Show this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(SERVER): requirements-build.lock requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: name another with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make environments: install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) …" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL) -r requirements-build.lock
	@$(INSTALL) -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(SERVER) requirements-dev.lock
	@echo "installing what tests need into $(VENV) …" >&2
	@$(INSTALL) -r requirements-dev.lock
	@touch $@

$(BENCH): $(SERVER) requirements-bench.lock
	@echo "installing what benchmarks need into $(VENV) …" >&2
	@$(INSTALL) -r requirements-bench.lock
	@touch $@

.PHONY: venv
venv: $(DEV) ## Make the environment in .venv, with what tests need

.PHONY: up
up: $(SERVER) ## Start a local cluster (ARGS='--nodes 5 --port 4001'); Ctrl-C stops it
	@exec $(BIN)/python -P -m concord.cli up $(ARGS)

.PHONY: test
test: $(DEV) ## Run the tests (ARGS='-k settings' for some)
	@$(BIN)/python -m $(if $(strip $(ARGS)),pytest $(ARGS),tests.everything)

.PHONY: lint
lint: $(DEV) ## Check style, types and the rooms' import rules
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(DEV) ## Format the code and mend what can be mended
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

.PHONY: bench
bench: $(BENCH) ## Measure beside etcd in the same run (ARGS='--seconds 3 --rounds 3'; --steady, --one-group, --redis, --zookeeper, --nats add tables)
	@missing=(); need() { command -v "$$1" >/dev/null || [ -e "$$1" ] || missing+=("$$2"); }; need wrk wrk; \
	$(if $(findstring --redis,$(ARGS)),need redis-benchmark redis-server;) \
	$(if $(findstring --zookeeper,$(ARGS)),need java default-jre-headless; need /usr/share/java/zookeeper.jar zookeeper;) \
	$(if $(findstring --nats,$(ARGS)),need nats-server nats-server;) \
	[ $${#missing[@]} = 0 ] || { command -v apt-get >/dev/null && echo "installing $${missing[*]} …" >&2 && \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends "$${missing[@]}" >/dev/null; } || \
		{ echo "make bench needs $${missing[*]}, which could not be installed with apt-get: install it by other means" >&2; exit 1; }
	@$(BIN)/python -m loadtest.bench $(ARGS)

.PHONY: bench-guard
bench-guard: $(DEV) ## Count the instructions of the main paths; fails when one costs 10 % more than it did (ARGS=--update)
	@command -v valgrind >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing valgrind …" >&2 && \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends valgrind >/dev/null; } || true
	@$(BIN)/python -m tests.cost.run $(ARGS)

.PHONY: loadtest
loadtest: $(DEV) ## Load a cluster as people use it, with Locust; a verdict at the end (ARGS='--scenarios flags --per-s 400')
	@$(BIN)/python -m loadtest.scenarios $(ARGS)

.PHONY: sim
sim: $(DEV) ## Simulate clusters under faults, one per seed (SEEDS=n)
	@$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) $(ARGS)

.PHONY: sim-control
sim-control: $(DEV) ## The same with the library as shipped; succeeds only when that fails (SEEDS=n)
	@$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --control $(ARGS)

.PHONY: mutants
mutants: $(DEV) ## Plant known mistakes in raft/, one at a time; succeeds only when each is noticed (ARGS='--only vote-twice')
	@$(BIN)/python -m tests.mutation.run $(ARGS)

.PHONY: chaos
chaos: $(DEV) ## Hurt real clusters in namespaces of their own and check every answer (MINUTES=n SEED=s ARGS='--nodes 5'); needs root
	@{ command -v ip && command -v nft && command -v gcc && command -v mkfs.ext4; } >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing iproute2, nftables, gcc and e2fsprogs …" >&2 && \
		apt-get -qq update && \
		apt-get -qq install -y --no-install-recommends iproute2 nftables gcc libc6-dev e2fsprogs >/dev/null; } || true
	@$(BIN)/python -m tests.chaos.run --minutes $(MINUTES) --seed $(SEED) $(ARGS)

.PHONY: description
description: $(DEV) ## Try out what openapi.json allows and forbids, without tokens and with (ARGS='--examples 100')
	@$(BIN)/python -m tests.e2e.description $(ARGS)

.PHONY: proof
proof: $(DEV) ## Everything that is tried against Concord, in full or a share, into docs/PROOF.md (ARGS='--share 0.05')
	@$(BIN)/python -m tests.proof.run $(ARGS)

.PHONY: lock
lock: ## Resolve the dependencies anew into the lock files
	@$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip --disable-pip-version-check -q install 'uv>=0.9,<1'
	@PATH="build/lock/bin:$$PATH"; \
	printf 'editables\nhatchling\nsetuptools\n' | $(COMPILE) --upgrade - -o requirements-build.lock; \
	$(COMPILE) --upgrade pyproject.toml --extra server -o requirements.lock; \
	$(COMPILE) --upgrade pyproject.toml --extra otel -c requirements.lock -o requirements-otel.lock; \
	$(COMPILE) --upgrade --group dev -c requirements.lock -c requirements-otel.lock -c requirements-build.lock -o requirements-dev.lock; \
	$(COMPILE) --upgrade --group bench -c requirements.lock -c requirements-build.lock -o requirements-bench.lock

.PHONY: clean
clean: ## Remove the environment, caches and builds; data directories stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
