# Two commands do everything on a fresh machine with Python 3.11+ and git:
#   make demo    set up, then take a one-line wish to a measured, better prompt
#   make test    set up, then pass the tests
# The README has the plain commands that they run.

PYTHON ?= python3
RUN := .venv/bin
INSTALL ?= $(RUN)/pip install --no-cache-dir --quiet --disable-pip-version-check

.PHONY: demo test check check-types check-texts coverage search setup

demo: .venv/.ready
	$(RUN)/kiln-mcp demo

test: .venv/.tested-with
	$(RUN)/python -m pytest -n auto --dist worksteal

check: check-texts check-types

check-types: .venv/.tested-with
	$(RUN)/basedpyright

check-texts: .venv/.tested-with
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/lint-imports --no-cache
	$(RUN)/deptry .
	$(RUN)/vulture
	$(RUN)/python .ci/check_words.py

# SlipCover costs the suite a fifth of its time; a tracer more than doubles it.
coverage: .venv/.tested-with
	$(RUN)/python -m slipcover --json --out .coverage.json -m pytest -n auto --dist worksteal --durations 12 --durations-min 5 \
		-W ignore::pytest.PytestAssertRewriteWarning \
		-W "ignore:Unable to activate pytest branch:RuntimeWarning"
	$(RUN)/python .ci/coverage_floors.py .coverage.json

# Ten times the examples, drawn at random, in random order. What it finds becomes an @example.
search: .venv/.tested-with
	.ci/search 300

setup: .venv/.tested-with

# What a set-up does; the packages beside our own are resolved once.
define set_up
	$(PYTHON) -m venv .venv
	$(INSTALL) -e "$(strip $(1))"
	$(RUN)/python -m compileall -q kiln_mcp storage agent
	$(RUN)/kiln-mcp models pull
	@touch .venv/.ready
endef

.venv/.ready: pyproject.toml kiln_mcp/llm/models.txt
	$(call set_up, .[embedded])

.venv/.tested-with: pyproject.toml kiln_mcp/llm/models.txt
	$(call set_up, .[dev])
	@touch $@
