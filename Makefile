# `make book` and `make test` do all the set-up on a fresh machine with Python 3.11+ and make.
# Run again, they do only what changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# STRICT=1 turns each warning of the book's build into an error, and rebuilds every page.
STRICT ?=
ifneq ($(STRICT),)
BOOKFLAGS := --all -W --keep-going -n
endif

.DEFAULT_GOAL := help
.PHONY: help env assets book test lab execute lint format bench address lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This book needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Say which to use: make book PYTHON=python3.12"; exit 1; }
	@echo "Setting up the environment in $(VENV): about two minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . 2>$(VENV)/install.log \
	  || { cat $(VENV)/install.log; exit 1; }  # setuptools warns about any folder beside the package
	@touch $@

env: $(READY) ## create or update the environment in .venv

assets: $(READY) ## fetch the models and corpora once (about 250 MB)
	@$(BIN)/python -m helpers.data.assets fetch --all

book: $(READY) assets ## render the book into _build/html
	@$(BIN)/jupyter-book build . --quiet $(BOOKFLAGS)
	@echo "The book is ready: open _build/html/index.html"

test: $(READY) assets ## run all tests, every notebook included
	@$(BIN)/python -m pytest

lab: $(READY) assets ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks

execute: $(READY) assets ## run the notebooks in place (NB=notebooks/11-….ipynb for one), with clean diffs
	@$(BIN)/python -m scripts.execute_notebooks $(NB)

lint: $(READY) ## check the form of all code, notebooks included
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(READY) ## mend what lint can mend
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

bench: $(READY) assets ## measure training, pretraining and generation against others (40 minutes, idle machine)
	@$(BIN)/python -m benchmarks.finetuning
	@$(BIN)/python -m benchmarks.generation
	@$(BIN)/python -m benchmarks.pretraining

address: $(READY) ## set the project's public address everywhere: make address URL=https://github.com/name/repo
	@$(BIN)/python -m scripts.set_address $(URL)

lock: ## renew requirements.txt from pyproject.toml in a fresh environment
	@bash scripts/lock.sh $(PYTHON)

clean: ## remove the rendered book and caches; keep .venv and the assets
	@rm -rf _build .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
