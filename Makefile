# `make tour` and `make test` do everything on a fresh machine with Python 3.11 or newer, with or without uv.
#
# Variables: PYTHON=… chooses the interpreter, UV= (empty) does without uv, VENV=… puts the environment elsewhere,
# ARGS=… goes to the command, for instance: make tour ARGS=--quick

VENV ?= .venv
UV ?= $(shell uv --version >/dev/null 2>&1 && command -v uv)
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= 2
PEER_PYTHON ?= $(wildcard .venv-bench/bin/python)

.PHONY: help tour test test-learning test-peers lint format docs figures bench bench-peers clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

tour: $(VENV)/.render ## the whole story on this machine; ends in a report page (ARGS=--quick: in 90 seconds)
	@$(BIN)/puzzlebox tour $(ARGS)

test: lint ## style, types and the fast tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-learning: $(VENV)/.test ## the slow tests: do the agents reach their scores? (under 30 minutes on 2 cores)
	$(BIN)/pytest tests/learning -n $(WORKERS) --dist loadfile -o "addopts=-q --strict-markers --import-mode=importlib" -o memory_limit=12 $(ARGS)

test-peers: $(VENV)/.peers ## hold the language part against transformers, torch and peft
	@$(BIN)/puzzlebox fetch smollm2 || echo "without SmolLM2: its tests are skipped" >&2
	$(BIN)/pytest tests/peers tests/data $(ARGS)

lint: $(VENV)/.test ## style and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.test ## rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.docs ## the documentation as web pages, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

figures: $(VENV)/.core ## train again for every curve and picture in the documentation (minutes)
	$(BIN)/python docs/make_figures.py $(ARGS)

bench: $(VENV)/.core ## side by side with other libraries; see benchmarks/README.md
	PEER_PYTHON="$(PEER_PYTHON)" $(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/.core ## install those libraries, in .venv-bench
	if [ -n "$(UV)" ]; then $(UV) venv --quiet --clear --python $(BIN)/python --seed .venv-bench; \
	else $(BIN)/python -m venv --clear .venv-bench; fi
	.venv-bench/bin/python -m pip install --quiet --no-compile --requirement benchmarks/requirements.txt

clean: ## remove everything that can be made again, except runs/
	rm -rf $(VENV) .venv-bench build site tour .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The environment. A stamp per set of packages: it is made once, and again when what it holds was changed.

$(VENV)/.core: extra =
$(VENV)/.render: extra = [render]
$(VENV)/.test: extra = [test]
$(VENV)/.docs: extra = [docs]
$(VENV)/.peers: extra = [test,peers]
$(VENV)/.%: pyproject.toml constraints.txt
	@VENV="$(VENV)" UV="$(UV)" PYTHON="$(PYTHON)" .ci/install ".$(extra)"
	@touch $@
