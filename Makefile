# Two commands on a fresh machine: `make demo` and `make test`. Both do their own set-up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench docs sample lint scenes screens setup browser proxy

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

SAMPLE := build/sample
sample: .venv/.installed browser ## the report of simulated votes that lies in results/sample
	rm -rf $(SAMPLE) results/sample/report
	$(BIN)/evalkit init $(SAMPLE)
	$(BIN)/evalkit generate $(SAMPLE)
	$(BIN)/evalkit simulate $(SAMPLE) --strength scenes-base=0.9 --strength scenes-turbo=0.4 \
		--prompt-sd 0.8 --annotator-sd 0.4 --tie-weight 0.35 --left-bias 0.1 --seed 3
	$(BIN)/evalkit score $(SAMPLE) --metric clip_score --metric scene_attributes
	$(BIN)/evalkit score $(SAMPLE) --metric embedding_diversity
	$(BIN)/evalkit screen $(SAMPLE)
	$(BIN)/evalkit analyze $(SAMPLE)
	$(BIN)/evalkit report $(SAMPLE) --embed
	mkdir -p results/sample
	cp -r $(SAMPLE)/report results/sample/report
	rm -rf results/sample/report/pairs results/sample/report/files.json

screens: .venv/.installed browser ## pictures of every screen of the page, into docs/screens
	$(BIN)/python -m tests.screens docs/screens

lint: .venv/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
