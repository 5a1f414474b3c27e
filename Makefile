# Two commands do everything on a fresh machine with Python 3.11+ and git:
#   make demo    set up, then take a one-line wish to a measured, better prompt
#   make test    set up, then pass the tests
# The README has the plain commands that they run.

PYTHON ?= python3
RUN := .venv/bin

.PHONY: demo test check coverage setup

demo: .venv/.ready
	$(RUN)/kiln-mcp demo

test: .venv/.tested-with
	$(RUN)/python -m pytest

check: .venv/.tested-with
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/lint-imports --no-cache
	$(RUN)/basedpyright
	$(RUN)/deptry .
	$(RUN)/vulture

coverage: .venv/.tested-with
	$(RUN)/coverage run -m pytest
	$(RUN)/coverage report

setup: .venv/.tested-with

.venv/.ready: pyproject.toml kiln_mcp/llm/models.txt
	$(PYTHON) -m venv .venv
	$(RUN)/pip install --no-cache-dir --quiet --disable-pip-version-check -e .
	$(RUN)/kiln-mcp models pull
	@touch $@

.venv/.tested-with: .venv/.ready
	$(RUN)/pip install --no-cache-dir --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@
