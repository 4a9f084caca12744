# Every target installs what it needs. PYTHON names another interpreter: make run PYTHON=python3.13
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
SHELL  := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/run.stamp ## Run the whole service in one process: SQLite, sandbox PBX, demo data, http://127.0.0.1:8114
	@MOVECAR_LOG_FORMAT=$${MOVECAR_LOG_FORMAT:-console} exec $(PY) -m services

test: $(VENV)/dev.stamp ## Install every real part that is missing and run every test on them
	@exec $(PY) -m deploy.stack.test_run $(ARGS)

stack: $(VENV)/run.stamp ## Run the production shape: PostgreSQL, Redis, Asterisk and three processes
	@exec $(PY) -m deploy.stack

bench: $(VENV)/dev.stamp ## Measure calls per second and latencies on the stack, beside a bare asterisk-ami loop
	@exec $(PY) -m tests.bench

reliability: $(VENV)/dev.stamp ## Kill the caller at every boundary, take every part away, soak, and write docs/reliability.md
	@exec $(PY) -m tests.reliability --write

fault-matrix: $(VENV)/dev.stamp ## Kill, freeze, fill and cut off every part and measure how soon the desk is told (20 min); table into docs/reliability.md
	@exec $(PY) -m tests.reliability.faults --write

simulate: $(VENV)/dev.stamp ## Ten thousand simulated years of faults; a failing seed is printed and replays (nightly)
	@exec $(PY) -m tests.simulation $(ARGS)

lint: $(VENV)/dev.stamp ## Formatting, lint, types, import rules, security patterns
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit -q -r services -c pyproject.toml
	$(VENV)/bin/bandit -q -r deploy -c pyproject.toml --skip B404,B603,B607 # starting the machine's own servers is its work

unit: $(VENV)/dev.stamp ## Only the tests that need no other server
	@exec $(PY) -m pytest -n auto --dist loadfile tests/unit

audit: $(VENV)/dev.stamp ## Look the locked packages up in the advisory databases
	$(VENV)/bin/pip-audit --require-hashes --disable-pip -r requirements/run.txt

lock: $(VENV)/dev.stamp ## Re-resolve the locked dependencies (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -U -o requirements/run.txt
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -c requirements/run.txt -o requirements/dev.txt

clean: ## Remove the virtual environment and caches (never var/, which holds data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# python3-venv is missing on a minimal Debian; install it when that is possible.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "movecar needs Python 3.11 or newer; $$($(PYTHON) --version) found. Name another: make PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); }

$(VENV)/run.stamp: requirements/run.txt | $(VENV)/bin/python
	@echo "installing locked packages into $(VENV) ..."
	@$(PY) -m pip install --disable-pip-version-check -q --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@$(PY) -m pip install --disable-pip-version-check -q --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: help run test stack bench reliability lint unit audit lock clean simulate fault-matrix
