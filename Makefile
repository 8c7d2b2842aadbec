# `make demo` and `make test` need nothing but Python 3.11 or newer, make, and git.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= data/bookstore

.PHONY: help demo install check format test test-all e2e test-training test-lowest live-test notebooks bfcl studio build bench clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/funreason: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/funreason
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[studio]" \
		--group test --group lint --group notebooks
	@touch $@

$(VENV)/.train: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[studio,train]"
	@touch $@

.venv-bfcl:
	$(PYTHON) tools/bfcl.py setup

demo: $(BIN)/funreason  ## Make verified training data from a bundled environment, offline
	$(BIN)/funreason synthesize tools/bookstore.py:Bookstore --num-trajectories 24 --turns 3 --seed 7 --out $(DEMO)

install: $(VENV)/.dev  ## Set up everything for development

bfcl: .venv-bfcl  ## Set up BFCL's tool classes in an environment of their own

test: $(VENV)/.dev  ## Run the offline test suite
	$(BIN)/python -m pytest tests/unit tests/graphs tests/contract -n 2

e2e: $(VENV)/.dev .venv-bfcl  ## Kills and resumes, BFCL, the README's commands, the LangGraph server
	$(BIN)/python -m pytest tests/e2e tests/unit/test_decontamination.py -m "not server" -n 2
	$(BIN)/python -m pytest tests/e2e -m server

test-training: $(VENV)/.train  ## Fine-tune tiny models on the CPU, and check every formula
	$(BIN)/python -m pytest tests/training -n 2

test-all: test check e2e test-training notebooks build  ## Everything that CI runs

test-lowest:  ## Run the suite at the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable .
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --group test
	.venv-lowest/bin/python -m pytest tests/unit tests/graphs tests/contract -n 2

check: $(VENV)/.train  ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy funreason_agents

format: $(VENV)/.dev  ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

live-test: $(VENV)/.dev  ## Run the pipeline against a small real model, served by vLLM on the CPU
	$(BIN)/python -m benchmarks.live

notebooks: $(VENV)/.train  ## Execute the notebooks and write the .ipynb files
	$(BIN)/python notebooks/build.py

studio: $(VENV)/.dev  ## Open the graphs in LangGraph Studio
	$(BIN)/langgraph dev

build: $(VENV)/.dev  ## Build the wheel
	$(BIN)/python -m build --wheel --outdir dist .

bench: $(VENV)/.dev .venv-bfcl  ## Run the benchmarks
	for name in walks checkpoint_growth hard_turns throughput; do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:  ## Remove what was built; data/ stays
	rm -rf $(VENV) .venv-lowest .venv-bfcl .venv-vllm dist build .mypy_cache .ruff_cache .pytest_cache
