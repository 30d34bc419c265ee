# Every target does its own set-up. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPAT := .venv-compat
COMPAT_INSTALLED := $(COMPAT)/.installed

# Compiled files are kept: most of the time of a test worker's start is compiling.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup serve demo test fuzz check format bench truth sound voices strangers silences lines compat constraints diagrams clean

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "No virtual environment could be made; on Debian: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV); about a minute ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

setup: $(INSTALLED) ## Make .venv with everything in it.

serve: $(INSTALLED) ## Answer calls.
	$(BIN)/python -m app serve

demo: $(INSTALLED) ## Watch a whole call, with no account at all.
	$(BIN)/python -m app demo

check: $(INSTALLED) ## Lint and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Most of a test's time is waiting, so more of them run side by side than there are cores.
test: check ## Lint, types, tests.
	$(BIN)/pytest --numprocesses 4

fuzz: $(INSTALLED) ## Made-up requests and messages by the thousand, others each time; ten minutes.
	FUZZ=1 $(BIN)/pytest -m 'fuzz or hypothesis' --timeout 3600

format: $(INSTALLED) ## Put the code into shape.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## What a call costs, beside a bare relay; three minutes.
	$(BIN)/python -m bench

truth: $(INSTALLED) ## What the model is told of interruptions; three minutes.
	$(BIN)/python -m bench truth

sound: $(INSTALLED) ## Where a recording holds what was heard; three minutes.
	$(BIN)/python -m bench sound

voices: $(INSTALLED) ## What external voices add, cost, and are heard to say; eight minutes.
	$(BIN)/python -m bench voices

strangers: $(INSTALLED) ## What attacks at the port cost those who talk; eleven minutes, Linux.
	$(BIN)/python -m bench strangers

silences: $(INSTALLED) ## What becomes of callers whose agent has no sound; four minutes.
	$(BIN)/python -m bench silences

lines: $(INSTALLED) ## What becomes of callers whose line breaks; eight minutes.
	$(BIN)/python -m bench lines

# Everything that is needed is in the lock: pip has nothing to resolve.
$(COMPAT_INSTALLED): pyproject.toml compat/requirements.txt
	@test -x $(COMPAT)/bin/python || $(PYTHON) -m venv $(COMPAT)
	@echo "Installing into $(COMPAT); about a minute ..."
	@$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
	  --no-deps --requirement compat/requirements.txt --editable .
	@touch $@

compat: $(COMPAT_INSTALLED) ## Clients that nobody here wrote, on our phone line and our model.
	$(COMPAT)/bin/python -m pytest --config-file compat/pytest.ini compat

constraints: $(INSTALLED) ## Renew what is installed, for every Python and platform.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	  --no-annotate --no-header --all-extras --upgrade pyproject.toml --output-file constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	  --no-annotate --no-header --extra demo --upgrade --excludes compat/excludes.txt \
	  pyproject.toml compat/requirements.in --output-file compat/requirements.txt

diagrams: $(INSTALLED) ## Write the generated parts of the documentation.
	$(BIN)/python -m docs.diagrams

clean: ## Remove what the other targets made; call records stay.
	rm -rf $(VENV) $(COMPAT) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
