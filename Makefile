# `make demo` draws pictures; `make check` is what has to pass. Everything is installed in $(VENV) first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Two workers: each imports torch, which takes seconds and about half a gigabyte.
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile

# Nothing here may reach a model hub, and one thread per worker is faster than two that wait for each other.
export HF_HUB_OFFLINE := 1
export OMP_NUM_THREADS := 1

.PHONY: help setup demo check lint types imports test test-slow docs docs-update format catalog clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo       draw the example pictures into out/'
	@echo 'make check      lint, types, import rules and the tests'
	@echo 'make test       the tests that are not marked slow; make test-slow runs those'
	@echo 'make docs       build the documentation into build/docs/; make docs-update puts there what commands write now'
	@echo 'make format     format the code and the examples'
	@echo 'make catalog    write what is made from other files again: the catalog of pipelines, the table of the parser'
	@echo 'make clean      remove what was built or cached; the environment $(VENV) stays'

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Aquatint needs Python 3.11 or newer; choose one with: make PYTHON=python3.11")'
	@test -x $(BIN)/python || { echo 'creating the environment $(VENV)'; $(PYTHON) -m venv $(VENV); }
	@echo 'installing into $(VENV): torch and the model libraries are large, so the first time takes a minute or more'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[sdnq,lora,gguf,video,llm4gen,repl,docs,dev]'
	@# Beside the environment, for the test of the backend in examples/: diffusers imports torchao wherever it finds it.
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --upgrade --target $(VENV)/examples -c constraints.txt torchao
	@# Beside it too, for the tests of pipelines that need it: transformers imports torchvision wherever it finds it.
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --upgrade --target .torchvision -c constraints.txt torchvision
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/aquatint plan examples/demo.aqt
	@$(BIN)/aquatint run --existing overwrite examples/demo.aqt

check: lint types imports test

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED)
	$(BIN)/mypy --strict src

imports: $(INSTALLED)
	$(BIN)/lint-imports

test: $(INSTALLED)
	$(PYTEST) -m 'not slow'

test-slow: $(INSTALLED)
	$(PYTEST) -m slow

# -E: what a page was warned of is not forgotten by the next build.
docs: $(INSTALLED)
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs build/docs
	@echo 'the documentation is build/docs/index.html'

docs-update: $(INSTALLED)
	$(BIN)/python scripts/make_diagnostics_page.py
	$(BIN)/python scripts/make_events_page.py
	$(BIN)/python scripts/make_man_page.py
	$(BIN)/python docs/_ext/command_output.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/aquatint fmt examples/*.aqt

catalog: $(INSTALLED)
	$(BIN)/python scripts/make_pipeline_catalog.py
	$(BIN)/python scripts/make_processor_catalog.py
	$(BIN)/python scripts/make_layer_catalog.py
	$(BIN)/python scripts/make_single_file_catalog.py
	$(BIN)/python scripts/make_grammar_table.py

clean:
	rm -rf build/docs dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests training scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
