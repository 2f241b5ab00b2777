# Every target works on a fresh machine with Python 3.11+ (venv and pip), make and a package index.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help: ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# auth0-4 is an older generation of an SDK that tests drive: two can not be in one environment.
$(READY): requirements/dev.txt requirements/auth0-4.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target $(VENV)/auth0-4 -r requirements/auth0-4.txt
	@touch $(READY)

setup: $(READY) ## .venv with the locked dependencies and the package itself

run: setup ## the main job, seen from end to end on the embedded store
	$(BIN)/dispatcher demo

serve: setup ## the service with a local data folder
	@mkdir -p data && $(BIN)/python -m dispatcher serve --local data

test: setup ## the whole test suite
	$(BIN)/pytest

format: setup ## format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/Dockerfile

check: lint test ## all that CI asks: format, lint, types, import contracts, tests

bench: setup ## the benchmarks, with ratios against the yardsticks of the same run
	$(BIN)/python -m tests.bench $(BENCH)

lab: setup ## the laboratory: kills, power cuts, full disks, wrong clocks, ...; one table (15 min)
	$(BIN)/python -m tests.lab $(LAB)

soak: setup ## 70 % of the capacity for ten minutes on each store; SOAK="--store postgres" for one
	$(BIN)/python -m tests.lab.soak $(SOAK)

lock: ## resolve the dependencies anew; nothing younger than a week is taken (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --exclude-newer "1 week" --quiet -o requirements/dev.txt
	uv pip compile pyproject.toml -c requirements/dev.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --exclude-newer "1 week" --quiet -o requirements/runtime.txt
	uv pip compile requirements/build.in -c requirements/dev.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --exclude-newer "1 week" --quiet -o requirements/build.txt
	uv pip compile requirements/auth0-4.in --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --exclude-newer "1 week" --quiet -o requirements/auth0-4.txt

.PHONY: help setup run serve test format lint check bench lab soak lock
