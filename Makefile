# make run: the dashboard on this host's engine (or the demo host) · make test (lint, test-fast, test-live) · make bench
# make screenshots: screenshots/ anew, from the recordings
# make lock: the locked versions anew · make test-lowest: the tests of what uses the packages, with the lowest versions
# make zipapp, make deb, make image, make man: dist/netdash.pyz, a Debian package, a container image, the man page
# make engines, make test-engines: the live tests on the engines of other Debian releases, in .engines/
# make soak MINUTES=30: the dashboard while containers, networks and rules come and go (root)
# make disturbed: all 200 cases of a change that somebody else, or the engine's death, disturbs (root)
# make fuzz SEED=1 N=3000 KEEP=DIR: the packet trace against the kernel, on random hosts (root)
# make fuzz-changes SEED=1 N=1000: changes of random hosts, made and beside that modelled (root)
# make fuzz-unread SEED=1 N=5000: recorded hosts with sources taken away: their answers stay, or become unknown
# make fuzz-bundles SEED=1 N=5000: recorded hosts with damaged files: 0 exceptions
# make fuzz-bytes SEED=1 N=20000: hostile bytes in every source, and what reaches the terminal and the clipboard
# make fuzz-rules SEED=7 N=5000: rules made at random, loaded in a namespace, read back and compared (root)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := run
ENGINES := trixie forky trixie-legacy forky-legacy -legacy

.PHONY: run test test-fast test-live lint bench soak disturbed fuzz fuzz-changes fuzz-unread fuzz-bundles fuzz-bytes fuzz-rules screenshots zipapp deb man image engines test-engines test-lowest lock clean

run: $(VENV)/.run
	@$(BIN)/netdash --demo-without-engine

# Compiled modules are kept, whatever the environment says: each netdash that a test starts would compile itself anew.
unexport PYTHONDONTWRITEBYTECODE

# The fast tests on every core, and one more process: some of them wait. The live ones need the time that netdash allows
# itself for its readings: with more processes than cores it gives up some of them.
WORKERS ?= $(shell expr $$(nproc) + 1)
LIVE_WORKERS ?= $(shell nproc)
test: lint test-fast test-live

test-fast: $(VENV)/.dev
	$(BIN)/pytest --ignore tests/live -n $(WORKERS) --dist worksteal

test-live: $(VENV)/.dev
	$(BIN)/pytest tests/live -n $(LIVE_WORKERS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python tests/bench/bench.py
	$(BIN)/python tests/bench/busy_keys.py
	$(BIN)/python tests/bench/flows.py
	$(BIN)/python -m tests.bench.changes
	$(BIN)/python tests/bench/rules.py
	$(BIN)/python tests/bench/trace.py
	$(BIN)/python tests/bench/memory.py
	$(BIN)/python tests/bench/remote.py

MINUTES ?= 30
soak: $(VENV)/.dev
	$(BIN)/python tests/bench/soak.py --minutes $(MINUTES)

disturbed: $(VENV)/.dev
	NETDASH_LIVE_WHOLE=1 NETDASH_LIVE=required $(BIN)/pytest -q tests/live/test_live_publish_disturbed.py

SEED ?= 1
N ?= 1000
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seed $(SEED) --packets $(N) $(if $(KEEP),--keep $(KEEP))

fuzz-changes: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seed $(SEED) --changes $(N)

fuzz-unread: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seed $(SEED) --unread $(N)

fuzz-bytes: $(VENV)/.dev
	$(BIN)/python -m tests.byte_fuzz --seed $(SEED) --mutations $(N)

fuzz-rules: $(VENV)/.dev
	$(BIN)/python -m tests.rulegen --seed $(SEED) --rules $(N)

fuzz-bundles: $(VENV)/.dev
	$(BIN)/python -m tests.damage --seed $(SEED) --bundles $(N)

# One file for hosts without a registry, a Debian package, the man page: all in dist/.
zipapp deb man: $(VENV)/.dev
	.ci/packages/$@
image:
	.ci/packages/$@

engines:
	tests/engines/make.sh

test-engines: $(VENV)/.dev
	@for each in $(ENGINES); do echo "== $$each"; \
	NETDASH_ENGINE=$$each $(BIN)/pytest -q tests/live/test_live_story.py tests/live/test_live_networks.py || exit 1; done
	$(BIN)/pytest -q tests/live/test_live_podman.py

screenshots: $(VENV)/.dev
	$(BIN)/python screenshots/make.py

INSTALL = $(BIN)/python -m pip install --quiet --require-hashes --requirement
# With bytecode, also where PYTHONDONTWRITEBYTECODE is set: without it a start takes twice as long.
OURSELVES = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . && $(BIN)/python -m compileall -q netdash

$(VENV)/.run: pyproject.toml .ci/run.lock
	@.ci/venv $(PYTHON) $(VENV)
	$(INSTALL) .ci/run.lock
	$(OURSELVES)
	@touch $@

$(VENV)/.dev: pyproject.toml .ci/dev.lock
	@.ci/venv $(PYTHON) $(VENV)
	$(INSTALL) .ci/dev.lock
	$(OURSELVES)
	@touch $@ $(VENV)/.run

# The fast tests with the lowest versions that pyproject.toml allows: of the folders that use the packages, without two
# long files in which only netdash's own code runs.
test-lowest:
	$(MAKE) VENV=.venv-lowest .venv-lowest/.lowest
	.venv-lowest/bin/pytest -n $(WORKERS) --dist worksteal $(addprefix tests/,engine collect apply tui cli) \
		$(addprefix --ignore tests/,apply/test_disturbed.py cli/test_golden.py)

$(VENV)/.lowest: pyproject.toml .ci/lowest.lock
	@.ci/venv $(PYTHON) $(VENV)
	$(INSTALL) .ci/lowest.lock
	$(OURSELVES)
	@touch $@

# The versions that `make run` and `make test` install, and the lowest ones.
lock: $(VENV)/.dev
	$(LOCK) highest --group build --output-file .ci/run.lock
	$(LOCK) highest --group build --group dev --output-file .ci/dev.lock
	$(LOCK) lowest-direct --group build --group dev --output-file .ci/lowest.lock
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade pyproject.toml \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --resolution

clean:
	rm -rf $(VENV) .venv-lowest .mypy_cache .ruff_cache .pytest_cache .hypothesis
