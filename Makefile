# `make quickstart` and `make test` need nothing but Python: they make .venv and install into it.
#   make quickstart   recommend products from a real shop, in under three minutes
#   make test         lint, types, doctests and tests
#   make test-slow    the tests marked slow as well
#   make test-site    the site: built, gallery and notebooks run, opened in a browser where there is one
#   make test-min     the tests at the lowest supported versions, in .venv-min
#   make fuzz         thousands of generated inputs per estimator against oracles; takes hours
#   make lint         ruff, and the layers of the package
#   make container-steps   what docker/Dockerfile does, in a clean environment without Docker
#   make docs         the pages and the API reference, as HTML in docs/_build/html
#   make clean        remove environments, caches and builds

PYTHON ?= python3
VENV ?= .venv
VENV_MIN ?= .venv-min
VENV_DOCS ?= .venv-docs
JOBS ?= 2
PYTEST_ARGS ?=
MIN_EXTRAS ?= plot,io
MIN_TOOLS = pytest pytest-timeout pytest-xdist hypothesis pandas polars pyarrow

BIN = $(VENV)/bin
BIN_MIN = $(VENV_MIN)/bin
# One BLAS thread a process: the test workers already fill the cores.
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
SETTINGS = pyproject.toml constraints.txt

FUZZ_ARGS ?=

.PHONY: container-steps quickstart test test-site test-slow test-min fuzz lint format types docs clean

quickstart: $(VENV)/.stamp-quickstart
	$(BIN)/python examples/quickstart.py

test: lint types
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not site" $(PYTEST_ARGS)

test-slow: $(VENV)/.stamp-test
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not site" $(PYTEST_ARGS)

test-min: $(VENV_MIN)/.stamp
	$(ONE_THREAD) $(BIN_MIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not site" \
		--doctest-ignore-import-errors $(PYTEST_ARGS)

# From nothing: the gallery and the notebooks run anew, whatever an earlier build has kept.
test-site: $(VENV_DOCS)/.stamp
	rm -rf docs/_build docs/api docs/gallery docs/notebooks
	$(ONE_THREAD) $(MAKE) docs
	$(ONE_THREAD) MPLBACKEND=Agg $(VENV_DOCS)/bin/python -m pytest -m site tests/site $(PYTEST_ARGS)

fuzz: $(VENV)/.stamp-test
	$(ONE_THREAD) $(BIN)/python tools/fuzz.py --jobs $(JOBS) $(FUZZ_ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.stamp-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.stamp-test
	$(BIN)/mypy

container-steps:
	folder=$$(mktemp -d) && PYTHON=$(PYTHON) tools/container_steps.sh $$folder && rm -rf $$folder

docs: $(VENV_DOCS)/.stamp
	MPLBACKEND=Agg $(VENV_DOCS)/bin/sphinx-build -W --keep-going -q docs docs/_build/html

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and by its exact pin, so that no other package chooses it.
$(VENV)/.stamp-test: $(SETTINGS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

# The test environment holds all that the quickstart needs.
$(VENV)/.stamp-quickstart: $(SETTINGS) | $(BIN)/python
	@echo "Installing numpy, scipy, scikit-learn, numba and matplotlib into $(VENV): a minute or two, once."
	$(BIN)/python -m pip install -c constraints.txt -e ".[plot]" pandas
	touch $@

$(VENV_MIN)/.stamp: pyproject.toml constraints-min.txt
	$(PYTHON) -m venv $(VENV_MIN)
	$(BIN_MIN)/python -m pip install --quiet -c constraints-min.txt -e ".[$(MIN_EXTRAS)]" $(MIN_TOOLS)
	touch $@

$(VENV_DOCS)/.stamp: $(SETTINGS)
	$(PYTHON) -m venv $(VENV_DOCS)
	$(VENV_DOCS)/bin/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV_MIN) $(VENV_DOCS) build dist *.egg-info .coverage htmlcov
	rm -rf docs/_build docs/api docs/gallery docs/notebooks
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
