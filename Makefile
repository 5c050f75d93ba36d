# Everything a fresh machine needs besides Python ≥ 3.11, make and git is installed by these targets.
#   make demo [ARGS=--headless]   train on the embedded handwritten digits under watch, then open the app
#   make test                     run every check
#   make web                      build the app's front end
#   make wheel                    build a wheel that contains the built app

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := .stamps
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup web demo test check wheel bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMPS)/installed

$(VENV)/bin/python:
	$(PYTHON) scripts/check_python.py
	$(PYTHON) -m venv $(VENV)

# torch comes first and by itself, so that no other package can pull in another build of it.
$(STAMPS)/torch: constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/installed: pyproject.toml constraints.txt $(STAMPS)/torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable ".[dev,notebook]"
	@touch $@

web: $(STAMPS)/installed
	$(BIN)/python scripts/build_web.py

demo: web
	$(BIN)/pellucid demo $(ARGS)

test: web
	$(BIN)/python scripts/ensure_chromium.py
	$(BIN)/python scripts/run_checks.py $(ARGS)

wheel: web
	$(BIN)/python -m build --outdir dist

bench: $(STAMPS)/installed
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf $(STAMPS) $(VENV) build dist web/node_modules src/pellucid/server/static
