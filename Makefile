# What is done to this project, each by one word:
#
#   make demo        solve the Rosenbrock example into runs/rosenbrock
#   make test        style, types and tests
#   make test-slow   the tests that take minutes, an hour or more in all on two cores
#   make lint        style and types alone
#   make docs        write docs/configuration.md anew from the settings
#   make clean       remove the environment and what the tools keep
#
# The environment in .venv is made at first need, and again when pyproject.toml or constraints.txt
# change. Another Python: make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

# Layers of a hundred units lose time to threads, and so do tests that run beside each other.
test test-slow: export OMP_NUM_THREADS = 1

.PHONY: demo test test-slow lint docs clean

demo: $(VENV)/.installed
	$(VENV)/bin/invgan solve examples/rosenbrock/config.yml --out runs/rosenbrock

test: lint
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest -m slow -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

docs: $(VENV)/.installed
	$(VENV)/bin/python docs/make_configuration.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e . -c constraints.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) -e ".[dev]" -c constraints.txt
	touch $@
