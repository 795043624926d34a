# Everything a contributor runs. Each target makes .venv by itself; nothing but Python, git and make is needed.

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The first Python on the path that is new enough; PYTHON=... names another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench torture torture-kill torture-disk torture-io torture-sweep torture-history torture-damage torture-power torture-soak torture-hostile torture-sim docs check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.test  ## a real server syncs this repository, twice, and cleans up
	@$(BIN)/python examples/demo.py

test: $(VENV)/.test  ## run all tests with branch coverage (TESTS="..." for some)
ifdef TESTS
	$(BIN)/python -m pytest $(TESTS)
else
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term
endif

lint: $(VENV)/.test  ## check style, types and layers
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.test  ## put the code into ruff's form
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(VENV)/.test  ## measure; writes bench/results/latest.json
	$(BIN)/python -m bench

torture: torture-kill torture-disk torture-io torture-history torture-damage torture-power torture-soak torture-hostile torture-sim  ## break a real server in every way (N=rounds, SEED=the one to repeat)

torture-kill torture-disk torture-io torture-sweep torture-history torture-damage torture-power torture-soak torture-hostile: torture-%: $(VENV)/.test
	$(BIN)/python -m torture $* $(if $(N),--rounds $(N)) $(if $(SEED),--seed $(SEED)) $(if $(WAYS),--ways "$(WAYS)") \
		$(if $(ONLY),--only "$(ONLY)") $(if $(PARALLEL),--parallel $(PARALLEL)) \
		$(if $(and $(filter power,$*),$(SYNCHRONOUS)),--synchronous $(SYNCHRONOUS))

torture-sim: $(VENV)/.test
	$(BIN)/python -m tests.simulation --seeds $(or $(N),20000) $(if $(SEED),--seed $(SEED))

docs: $(VENV)/.docs  ## build docs/_build/html, warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html

check: lint test docs  ## what CI runs

clean:  ## remove .venv and everything that was built
	rm -rf $(VENV) build dist *.egg-info docs/_build .coverage .coverage.* \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# One virtual environment; a stamp for each set of extras that is in it.
$(VENV)/.test: setup.cfg
	@if [ -z "$(PYTHON)" ]; then \
		echo "cidx_jobs needs Python 3.11 or newer, and none is on the path; name one: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "cidx_jobs needs Python 3.11 or newer; $(PYTHON) is older or does not run" >&2; exit 1; }
	@echo "Installing into $(VENV) (about a minute, once) ..."
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) -e '.[test]'
	@# As pip does where it installs the package itself: an environment may forbid Python to do it later.
	@$(BIN)/python -m compileall -q cidx_jobs
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	@echo "Installing what the documentation needs ..."
	@$(PIP) -e '.[docs]'
	@touch $@
