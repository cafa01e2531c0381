# Every quality step is one word. `make help` prints this list.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
FOLDER ?=
BENCH ?=

# What the extension is made of; a change here, and only here, makes `setup` build again.
CORE := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -name '*.rs' -o -name Cargo.toml 2>/dev/null)
FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 60
SOAK_SEED ?= 1

.PHONY: help setup lock fmt lint type test test-fast test-rust fuzz fuzz-replay faults soak interop bench docs coverage wheel quickstart clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed $(VENV)/.built ## everything for users and developers: checks, .venv, locked tools, the extension

$(VENV)/.installed: requirements/dev.txt scripts/prerequisites
	@scripts/prerequisites $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# One profile for users, tests and wheel alike: what is tested is what runs.
$(VENV)/.built: $(CORE) $(VENV)/.installed
	@echo "building the extension (the first time takes a few minutes)"
	@touch $@.begun
	@PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --quiet --release --locked
	@mv $@.begun $@

lock: ## write requirements/*.txt anew from pyproject.toml (with hashes, for every Python from 3.11)
	@scripts/lock

fmt: $(VENV)/.installed ## format Rust and Python
	@cargo fmt --all
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

lint: $(VENV)/.installed ## all linters, import rules, file sizes, change notes; warnings are errors
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/python scripts/house_rules.py

type: setup ## mypy strict, and the stub of obhut._core against the binary
	@$(BIN)/mypy
	@$(BIN)/python -m mypy.stubtest obhut._core --mypy-config-file pyproject.toml --allowlist scripts/stubtest-allowlist.txt

test-rust: ## the Rust tests alone
	@cargo test --workspace --locked

test: setup test-rust ## all tests: Rust, Python, faults, interop with the peers that are found
	@$(BIN)/pytest -n $(JOBS) --dist worksteal

test-fast: setup ## less than a minute: unit, property and contract tests that are not slow
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not interop" -q tests/unit tests/property tests/contract

interop: setup ## only the tests against restic and rustic
	@$(BIN)/pytest -n $(JOBS) --dist worksteal tests/interop

faults: setup ## all fault tests, every call and byte (other targets take a seeded sample)
	@OBHUT_EVERY_CALL=1 OBHUT_EVERY_BYTE=1 OBHUT_STATES=400 nice $(BIN)/pytest -n $(JOBS) --dist worksteal tests/faults

soak: setup ## random verbs and kills by obhut, restic and rustic for SOAK_MINUTES (SOAK_SEED=…)
	@PYTHONPATH=tests $(BIN)/python -m soak --minutes $(SOAK_MINUTES) --seed $(SOAK_SEED)

fuzz: setup ## fuzz every target for FUZZ_SECONDS (needs cargo-fuzz and a nightly Rust)
	@scripts/fuzz $(FUZZ_SECONDS)

fuzz-replay: ## run the kept fuzz corpus once
	@scripts/fuzz replay

coverage: setup ## Python tests with coverage
	@$(BIN)/coverage erase
	@$(BIN)/pytest -n $(JOBS) --cov --cov-report=term

docs: $(VENV)/.installed ## build the documentation; warnings are errors
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: setup ## measure against the peers, all sets, an hour (BENCH="--sets tree --place tmpfs" …)
	@$(BIN)/python -m bench --place tmpfs,disk --into target/bench/results.json $(if $(FOLDER),--folder "$(FOLDER)") $(BENCH)

wheel: setup ## dist/*.whl: one abi3 wheel for Python 3.11 and newer (x86-64-v2)
	@scripts/wheel

quickstart: setup ## back up a folder, restore it, compare, archive and synchronize documents of it: FOLDER=… or an example
	@$(BIN)/python scripts/quickstart.py $(if $(FOLDER),"$(FOLDER)")

clean: ## remove what was built (not quickstart folders)
	@rm -rf $(VENV) target dist docs/_build .mypy_cache .ruff_cache .pytest_cache .coverage*
