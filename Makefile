# Two commands on a fresh machine: `make demo` and `make test`. Both do their own set-up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench docs lint scenes screens setup browser proxy

demo: .venv/.installed ## the whole chain on built-in models, then vote yourself
	$(BIN)/evalkit demo

test: .venv/.installed browser proxy ## every test: real browser, databases, proxy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

bench: .venv/.installed .venv-bench/.installed ## speed beside others', added to benchmarks/RESULTS.md
	$(BIN)/python benchmarks/generation.py
	.venv-bench/bin/python benchmarks/estimates.py

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all,test,dev,docs]"
	@touch $@

# Other packages that estimate ratings pin versions of their own, so they have a place of their own.
.venv-bench/.installed: pyproject.toml
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --editable ".[bench]"
	@touch $@

browser: # Chromium from the machine, or from Debian's packages where that is possible
	@.ci/chromium

proxy: # nginx from the machine, or from Debian's packages where that is possible
	@.ci/nginx

scenes: .venv/.installed ## train the built-in models again (hours on two cores; resumes)
	$(BIN)/python -m evalkit.models.scenes.training --work build/scenes

docs: .venv/.installed ## the pages made from the code, and the site in build/site
	$(BIN)/python -m docs.generated
	$(BIN)/python -m mkdocs build --strict

screens: .venv/.installed browser ## pictures of every screen of the page, into docs/screens
	$(BIN)/python -m tests.screens docs/screens

lint: .venv/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
