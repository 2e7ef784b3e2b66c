# Everything runs from two commands: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SEED   ?= 7
STAMP  := $(VENV)/.installed

.PHONY: help demo test bench lint types clean install system

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: install  ## do the whole job on real photographs and write build/demo/report.html
	$(BIN)/sightline demo --seed $(SEED) --out build/demo $(DEMO_ARGS)

test: install  ## run every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: install  ## measure, compare with a peer, and write build/bench/*.json
	$(BIN)/python -m tests.bench $(BENCH)

lint: install  ## ruff, mypy and the import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: system $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "sightline: Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "sightline: cannot create $(VENV); install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[agent,controller,dev]' \
	  || { echo "sightline: Python packages could not be installed; check pip's index and try again"; exit 1; }
	@touch $@

system:
	@sh tools/system_packages.sh

clean:  ## remove the virtual environment and everything built
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
