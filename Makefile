# Everything starts here: each target first sees to its set-up. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test up down check lock clean setup test-tools bench chaos chaos-seeds mutants overload

help:
	@echo 'make run    the main job: local stack up, the sample of 2025-Q1 and Q2 sent in, the bulletin printed and served'
	@echo 'make up     the local stack in the background; returns when it is ready'
	@echo 'make down   stop it; its state stays in TOLQYN_HOME (.tolqyn)'
	@echo 'make test   make check, then all tests'
	@echo 'make chaos  real faults on a whole stack (SEED=n replays a schedule), then 20,000 simulated ones; with a verdict'
	@echo 'make chaos-seeds N=20000  simulated faults: N more seeds than were ever played in this checkout'
	@echo 'make mutants  breaks the engine in one place after the other and shows which seed or test finds out'
	@echo 'make overload [MINUTES=10]  a whole stack under twice the load it can take: is its memory bounded, is nothing lost'
	@echo 'make bench [QUICK=1]  speed, on the same work as Kafka Streams, Quix, Pathway, Faust: 25 minutes (5) of a quiet machine'
	@echo 'make check  format, lint, types, walls between the packages, generated contracts'
	@echo 'make lock   renew requirements.txt from requirements.in, and those of bench (needs uv)'
	@echo 'make clean  stop the local stack; remove its state, .venv and all caches of this folder'

setup:
	@deploy/setup/python-and-kafka

test-tools: setup
	@deploy/setup/test-tools

run: setup
	@deploy/setup/run-sample

up: setup
	@.venv/bin/tolqyn up --detach

down:
	@if [ -x .venv/bin/tolqyn ]; then .venv/bin/tolqyn down; fi

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -P -m schemas.generate --check
	.venv/bin/python -P -m schemas.picture --check

# Two at a time: half of the tests wait for servers. `pytest` alone runs them one after the other.
test: test-tools check
	.venv/bin/pytest -n 2 --no-loadscope-reorder --durations 20

# make chaos SEED=n strikes the same victims in the same order again.
chaos: setup
	.venv/bin/python -P -m tests.chaos.real $(if $(SEED),--seed $(SEED))
	@$(MAKE) --no-print-directory chaos-seeds

N ?= 20000
chaos-seeds: setup
	.venv/bin/python -P -m tests.chaos.simulated --advance $(N)

mutants: test-tools
	.venv/bin/python -P -m tests.chaos.mutants

MINUTES ?= 10
overload: test-tools
	.venv/bin/python -P -m tests.chaos.overload --minutes $(MINUTES)

bench: setup
	@deploy/setup/bench-tools
	.venv/bin/python -P -m bench $(if $(QUICK),--quick)

lock:
	@command -v uv >/dev/null || { echo 'tolqyn: make lock needs uv: pip install uv' >&2; exit 1; }
	UV_CUSTOM_COMPILE_COMMAND='make lock' uv pip compile --quiet --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 --output-file requirements.txt requirements.in
	UV_CUSTOM_COMPILE_COMMAND='make lock' uv pip compile --quiet --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 --output-file bench/requirements.txt bench/requirements.in

clean: down
	rm -rf .venv .venv-bench "$${TOLQYN_HOME:-.tolqyn}" .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find services schemas tools tests bench -name __pycache__ -prune -exec rm -rf {} +
