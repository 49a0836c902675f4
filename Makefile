# make study   train six networks and draw their front (minutes on two cores)
# make test    lint, types, and the tests that need no server, browser, cluster, notebook or long study
# make test-all    those and all others
# make bench   measure this machine: a table with ratios, added to benchmarks/RESULTS.md
# make docs    build the manual into site/, strictly and offline; open site/index.html
# make docs-reference   write the pages of the manual that are made from the code
# make clean   remove what these made, but never results/ or reports/

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --constraint constraints.txt --editable
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8
SLOW := server or browser or cluster or notebook or long

.PHONY: study test test-all test-slow bench docs docs-reference clean

study: .venv/installed
	$(BIN)/python -m study run --trials 6
	$(BIN)/python -m study report

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -m "not ($(SLOW))"

test-all: test test-slow

test-slow: .venv/installed-test-all
	$(PYTEST) -m "$(SLOW)"

bench: .venv/installed-test
	$(BIN)/python benchmarks/bench.py

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-reference: .venv/installed
	$(BIN)/python tools/reference.py

clean:
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One call of pip each: every one builds the project and looks at all it needs. Not --no-compile, half
# a minute less: where PYTHONDONTWRITEBYTECODE is set, each command would compile for 12 s instead.
.venv/installed: .venv/bin/python setup.cfg constraints.txt
	$(PIP) '.[pesq]' || { $(PIP) . \
		&& echo "PESQ will not be measured: its package is C code and could not be built here"; }
	touch $@

.venv/installed-test: .venv/bin/python setup.cfg constraints.txt
	$(PIP) '.[test]' --quiet
	touch .venv/installed $@

.venv/installed-test-all: .venv/bin/python setup.cfg constraints.txt
	$(PIP) '.[test-all]' --quiet
	touch .venv/installed .venv/installed-test $@

.venv/installed-docs: .venv/bin/python setup.cfg constraints.txt
	$(PIP) '.[docs]' --quiet
	touch .venv/installed $@
