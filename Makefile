# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv by themselves. `make docs` writes docs/_build/index.html.
# `make check` is the fast part of `make test`: about a minute.
# `make notebooks` executes the notebooks, and saves them with their outputs.
# `make paper` repeats the paper's experiment on the images in data/ (analyses/paper).
# `make gpu` takes nine minutes of a GPU, and writes gpu-results/. Where torch is installed already: make gpu RUN=python3 (CONTRIBUTING.md).
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
# How .venv is filled; .github/workflows takes other versions.
INSTALL ?= $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'

# What runs on a GPU: anything but the Python of .venv is taken as it is.
RUN ?= $(BIN)/python

.PHONY: demo benchmark gpu paper test check lint types unit quick docs notebooks setup clean

demo: setup
	$(BIN)/transference demo --out demo

benchmark: setup
	$(BIN)/python -m benchmarks.measuring --json benchmark.json

gpu paper: $(if $(filter $(BIN)/%,$(RUN)),setup)

gpu:
	$(RUN) -m benchmarks.gpu --out gpu-results

paper:
	$(RUN) -m analyses.paper --data-root data --runs runs/paper

test: lint types unit docs

check: lint types quick

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(TESTS)

# All but what is marked as slow.
quick: setup
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow"

# From nothing, since a page that was built before tells its warnings no more.
docs: setup
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet --fresh-env docs docs/_build

# From the top, with their outputs saved in place.
notebooks: setup
	$(BIN)/python -m notebooks.execute

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is too old; Python 3.11 or later is needed. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL)
	@touch $@

clean:
	rm -rf .venv demo docs/_build
