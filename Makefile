# make demo: from nothing to a planner, its table, pictures and report.  make test: lint, then the whole test suite.
# make lint: style and types.
PYTHON ?= python3
RUN := .venv/bin/python

.PHONY: demo lint test setup clean

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	@echo "Setting up .venv: downloads the locked packages, a few minutes with a fresh pip cache."
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: setup
	@echo "Demo: makes data of a small maze, trains a planner on them, evaluates 100 episodes: two to five minutes on two cores."
	@echo "It may be stopped at any time; the same command continues. All is written to runs/demo."
	$(RUN) -m experiments.run --task=maze2d-umaze-v1 --method=inverter --workdir=runs/demo --seed=0
	@echo "Report: tables, pictures and an animation as one page, under a minute."
	$(RUN) -m experiments.report runs/demo
	@echo "Open runs/demo/report.html in a browser."

lint: setup
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

test: lint
	$(RUN) -m pytest -n 2 --dist loadfile

clean:
	rm -rf .venv runs .jax_cache .mypy_cache .ruff_cache build dist *.egg-info
