# Every target does its own set-up. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
COMPAT := .venv-compat
COMPAT_INSTALLED := $(COMPAT)/.installed
DEPLOY := .venv-deploy
DEPLOY_INSTALLED := $(DEPLOY)/.installed
# What the tests run on; `make matrix` skips those that are not installed.
PYTHONS := 3.11 3.12 3.13
# Test processes: tests spend most of their time waiting.
PROCESSES := 8
# One test at a time: a process that has slow ones has no others waiting behind them.
XDIST = --numprocesses $(PROCESSES) --maxschedchunk 1
SEED := $(shell date +%s)
# The least that tests have to cover, in percent of lines and branches.
LEAST_OF_APP := 90
LEAST_OF_CALL := 98

# Compiled files are kept: most of the time of a test worker's start is compiling.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup serve demo test pytest shuffle matrix coverage fuzz check format bench peers truth sound voices coughs \
  strangers silences lines proxies replicas tools mutations bench-console softphone compat compat-setup \
  compat-all deploy-check constraints diagrams pictures release clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; choose one with make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Cannot create a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV); about a minute ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
	  --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

# What all test processes import: one compiles it, else each of them would.
$(COMPILED): $(INSTALLED)
	@$(BIN)/pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

setup: $(INSTALLED) ## Create .venv and install everything into it.

serve: $(INSTALLED) ## Answer calls.
	$(BIN)/python -m app serve

demo: $(INSTALLED) ## Watch a whole call; no account is needed.
	$(BIN)/python -m app demo

check: $(INSTALLED) ## Lint and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check pytest ## Lint, types, tests.

pytest: $(COMPILED)
	$(BIN)/pytest $(XDIST) -rs

matrix: ## The tests on each installed Python from 3.11 to 3.13, each in its own .venv-3.x.
	@for version in $(PYTHONS); do \
	  if python$$version --version >/dev/null 2>&1; then \
	    echo "Python $$version"; \
	    $(MAKE) --no-print-directory PYTHON=python$$version VENV=.venv-$$version pytest || exit 1; \
	  else \
	    echo "Python $$version is not installed; skipped"; \
	  fi; \
	done

coverage: $(INSTALLED) ## Which lines and branches the tests reach; fails below the floor.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(XDIST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=$(LEAST_OF_APP)
	$(BIN)/coverage report --skip-covered --include='app/call/*' --fail-under=$(LEAST_OF_CALL)

shuffle: $(INSTALLED) ## The tests in a random order; make shuffle SEED=7 repeats one.
	SHUFFLE=$(SEED) $(BIN)/pytest $(XDIST)

fuzz: $(INSTALLED) ## Random requests and messages by the thousand, others each time; ten minutes.
	FUZZ=1 $(BIN)/pytest -m 'fuzz or hypothesis' --timeout 3600

format: $(INSTALLED) ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## What a call costs, beside a bare relay and a Node bridge; five minutes.
	$(BIN)/python -m bench

PEER := .node-peer
peers: $(PEER)/.installed ## Install the Node bridge that bench compares ours with; needs npm.

$(PEER)/.installed: $(wildcard bench/peers/node/*)
	@mkdir -p $(PEER)
	cp $^ $(PEER)
	npm install --prefix $(PEER) --no-package-lock --no-audit --no-fund
	@touch $@

truth: $(INSTALLED) ## How exactly the model learns what an interrupted caller heard; three minutes.
	$(BIN)/python -m bench truth

sound: $(INSTALLED) ## How exactly a recording holds what the caller heard; three minutes.
	$(BIN)/python -m bench sound

voices: $(INSTALLED) ## Latency, cost and heard text of external voices; eight minutes.
	$(BIN)/python -m bench voices

coughs: $(INSTALLED) ## Does the agent go on after a cough, and stop for a word? Eight minutes.
	$(BIN)/python -m bench coughs

strangers: $(INSTALLED) ## What floods at the port cost the calls that go on; eleven minutes, Linux.
	$(BIN)/python -m bench strangers

silences: $(INSTALLED) ## How long callers wait when answers have no audio; four minutes.
	$(BIN)/python -m bench silences

tools: $(INSTALLED) ## What tools that compute cost the audio of other calls; two minutes.
	$(BIN)/python -m bench tools

lines: $(INSTALLED) ## What callers hear when their media stream breaks; eight minutes.
	$(BIN)/python -m bench lines

proxies: $(INSTALLED) ## The service behind nginx, HAProxy and Caddy, those that are installed; five minutes.
	$(BIN)/python -m bench proxies

replicas: $(INSTALLED) ## Three replicas that are killed, stopped and replaced, without stores too; 45 minutes, Linux.
	$(BIN)/python -m bench replicas

bench-console: $(INSTALLED) ## The console with 200 live calls and 100,000 records; four minutes, Chromium.
	$(BIN)/python -m bench console

softphone: $(INSTALLED) ## What the softphone plays against what the model sent; two minutes, Chromium.
	$(BIN)/python -m bench softphone

mutations: $(INSTALLED) ## Break each row of the table of exits: do the tests notice? Half a minute.
	$(BIN)/python -m tests.call.exits.mutations

# The lock lists every package: pip has nothing to resolve.
$(COMPAT_INSTALLED): pyproject.toml setup.py compat/requirements.txt
	@test -x $(COMPAT)/bin/python || $(PYTHON) -m venv $(COMPAT)
	@echo "Installing into $(COMPAT); about a minute ..."
	@$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
	  --no-deps --requirement compat/requirements.txt --editable .
	@touch $@

compat-setup: $(COMPAT_INSTALLED)

compat: $(COMPAT_INSTALLED) ## Other projects' clients against the simulated line and model.
	$(COMPAT)/bin/python -m pytest --config-file compat/pytest.ini compat

compat-all: compat ## The same, and voicebench on the simulated line; three minutes.
	$(COMPAT)/bin/python -m compat.voice_bench

$(DEPLOY_INSTALLED): deploy/requirements.txt
	@test -x $(DEPLOY)/bin/python || $(PYTHON) -m venv $(DEPLOY)
	@echo "Installing into $(DEPLOY) ..."
	@$(DEPLOY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --requirement deploy/requirements.txt
	@touch $@

deploy-check: $(DEPLOY_INSTALLED) ## Dockerfile, compose.yaml, manifests and unit, by the tools that read them.
	$(DEPLOY)/bin/python scripts/deploy_check.py

constraints: $(INSTALLED) ## Upgrade the pinned versions, for every Python and platform.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	  --no-annotate --no-header --all-extras --upgrade pyproject.toml --output-file constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	  --no-annotate --no-header --extra demo --upgrade --excludes compat/excludes.txt \
	  pyproject.toml compat/requirements.in --output-file compat/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	  --no-annotate --no-header --upgrade deploy/requirements.in --output-file deploy/requirements.txt

diagrams: $(INSTALLED) ## Write the generated parts of the documentation.
	$(BIN)/python -m docs.diagrams

pictures: $(INSTALLED) ## Take the documentation's pictures of the console, in Chromium; two minutes.
	$(BIN)/python -m docs.pictures

release: $(INSTALLED) ## Test, build and tag a version: make release VERSION=1.2.3
	@$(BIN)/python scripts/release.py '$(VERSION)'

clean: ## Remove what the other targets created; call records stay.
	rm -rf $(VENV) $(PEER) $(COMPAT) $(DEPLOY) .venv-3.* build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
