# Verbs of the project. `make demo` and `make test` need Python >= 3.11 with venv, and make; they do the rest themselves.
#
# Everything is installed into .venv from the locks in requirements/ (each package checked against its hash). A stamp in
# .venv remembers what is installed, so a second run starts at once. The project itself is installed editable with the
# locked build backend and without build isolation: isolation would fetch an unlocked backend at each install, and a
# bare .pth file would leave out the metadata that the version and the packaging tests read.

PYTHON ?= python3
ARGS ?=
SEEDS ?= 100
COMMANDS ?= 100000
RUNS ?= 1000000
MINUTES ?= 10

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PACKAGES := crdt transport config daemon
SOURCES := $(PACKAGES) $(wildcard tests bench clients deploy examples)

.DEFAULT_GOAL := help
.PHONY: help demo test lint lock compile bench curves scale simulate oracle fuzz crashes chaos clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F '\t' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## three replicas, a partition, a kill -9, a heal: watch them converge (ARGS="--seconds 60")
	@$(BIN)/gossamer demo $(ARGS)

test: $(VENV)/.test ## run the tests (ARGS="-k name" narrows)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## style, types and import contracts
	@echo "==> ruff check"
	@$(BIN)/ruff check $(SOURCES)
	@echo "==> ruff format --check"
	@$(BIN)/ruff format --check $(SOURCES)
	@echo "==> mypy --strict"
	@$(BIN)/mypy --strict $(addprefix -p ,$(PACKAGES))
	@echo "==> import contracts"
	@$(BIN)/lint-imports

# Beside the sources, so that nothing but what names it on its PYTHONPATH can come to run old code.
NATIVE := build/compiled
MEASURE = PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(NATIVE):$(CURDIR) $(BIN)/python -m

compile: $(NATIVE)/.stamp ## make machine code of the core, for bench (needs a C compiler; minutes)

$(NATIVE)/.stamp: hatch_build.py $(shell find crdt daemon -name '*.py') | $(VENV)/.dev
	@$(BIN)/python hatch_build.py $(NATIVE)
	@touch $@

bench: $(VENV)/.bench $(if $(wildcard $(NATIVE)/.stamp),compile) ## measure; the compiled core, if there is one (ARGS=... goes to bench)
	@$(MEASURE) bench $(ARGS)

curves: $(VENV)/.bench $(if $(wildcard $(NATIVE)/.stamp),compile) ## measure what an operation costs as work grows, likewise (ARGS=... goes to bench.curves)
	@$(MEASURE) bench.curves $(ARGS)

scale: $(VENV)/.test ## 10 to 5,000 replicas in virtual time: traffic, and time to converge (ARGS=--write-docs)
	@$(BIN)/python tests/scaling.py $(ARGS)

simulate: $(VENV)/.test ## random histories of a whole space under a virtual clock (SEEDS=N)
	@$(BIN)/python tests/simulate.py --seeds $(SEEDS) $(ARGS)

oracle: $(VENV)/.test ## random commands to a real Redis 7.0.15 and to us: replies must be equal (COMMANDS=N)
	@$(BIN)/python tests/oracle.py --commands $(COMMANDS) $(ARGS)

fuzz: $(VENV)/.fuzz ## bytes from outside, guided by coverage (RUNS=N for each target; Linux)
	@for target in message frame rows engine requests commands; do \
	  echo "==> $$target"; \
	  $(BIN)/python tests/fuzz.py --target $$target --runs $(RUNS) --corpus build/fuzz/$$target $(ARGS) || exit 1; \
	done
	@FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest tests/test_fuzz.py

crashes: $(VENV)/.test ## every crash of every workload of up to three operations (needs strace)
	@$(BIN)/python tests/crash_matrix.py $(ARGS)

chaos: $(VENV)/.test ## real daemons and a real broker, killed and cut at random (MINUTES=N)
	@$(BIN)/python tests/chaos.py --minutes $(MINUTES) $(ARGS)

# Options of pip's that come from this machine's configuration (indexes, links, hosts) never enter a lock. dev.txt holds
# everything and is made first; the others take their versions from it, so that one .venv can hold any of them.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	--annotation-style line pyproject.toml
EXTRAS_base :=
EXTRAS_demo := --extra demo
EXTRAS_test := --extra test
EXTRAS_fuzz := --extra test --extra fuzz
EXTRAS_bench := --extra test --extra bench
EXTRAS_build := --only-build-deps --build-deps-for editable
# The same, and what the hook that compiles the core asks for (hatch_build.py).
EXTRAS_compile := $(EXTRAS_build)
requirements/compile.txt: export HATCH_BUILD_HOOK_ENABLE_CUSTOM := true

lock: $(VENV)/.dev ## renew requirements/*.txt from pyproject.toml
	@rm -f requirements/*.txt
	@echo "==> Locking requirements/dev.txt (everything)"
	@$(COMPILE) --extra demo --extra test --extra dev -o requirements/dev.txt
	@$(MAKE) --no-print-directory $(patsubst %,requirements/%.txt,base demo test fuzz bench build compile)

requirements/%.txt:
	@echo "==> Locking $@"
	@$(COMPILE) $(EXTRAS_$*) -c requirements/dev.txt -o $@
	@sed -i.bak -e 's/-c requirements\/dev.txt, //' -e 's/, -c requirements\/dev.txt//' $@ && rm $@.bak

clean: ## remove .venv and every cache
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# What went wrong half-way (no ensurepip, an interrupted install) leaves a .venv without a stamp: it is completed, and
# made anew only if its Python does not run.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gossamer needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>/dev/null || echo not there)." >&2; \
	  echo "Install one and name it: make $(firstword $(MAKECMDGOALS)) PYTHON=python3.12" >&2; exit 1; }
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "==> Creating $(VENV) with $$($(PYTHON) -V)"; \
	  rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu, apt install python3-venv." >&2; exit 1; }; \
	fi
	@touch $@

$(VENV)/.demo $(VENV)/.test $(VENV)/.fuzz $(VENV)/.bench $(VENV)/.dev: $(VENV)/.%: requirements/%.txt requirements/build.txt pyproject.toml $(VENV)/.python
	@echo "==> Installing the packages locked in $< (once)"
	@$(INSTALL) --require-hashes -r $< -r requirements/build.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
