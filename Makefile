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

# FAST=1 leaves out the notebooks that passed and that nothing has touched since.
FAST ?=
# Test processes. Each takes whole files, and its share of the cores.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help env assets book test lab serve demo workshop execute editions pictures pdf slides times lint format portability colab stress bench gpu-check speeds address lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

assets: $(READY) ## fetch the models and corpora once (about 630 MB)
	@$(BIN)/python -m helpers.data.assets fetch --all

book: $(READY) ## render the book into _build/html
	@$(BIN)/jupyter-book build . --quiet $(BOOKFLAGS)
	@echo "The book is ready: open _build/html/index.html"

pdf: book ## print the book as one PDF, _build/book.pdf (three minutes the first time)
	@$(BIN)/python -m tools.pdf

slides: book ## make slides of the chapters in _build/slides (NB=11 for one)
	@$(BIN)/python -m tools.slides $(NB)

test: $(READY) assets ## run all tests, every notebook included (FAST=1: only the notebooks touched)
	@$(BIN)/python -m pytest -n $(JOBS) $(if $(FAST),--fast)

lab: $(READY) ## open the notebooks in JupyterLab (NB=11: fetch what chapter 11 needs, and open it)
	@$(if $(NB),$(BIN)/python -m tools.chapter_assets $(NB))
	@$(BIN)/jupyter lab $(if $(NB),$(wildcard notebooks/$(NB)-*.ipynb),notebooks)

serve: $(READY) ## answer requests with a text classifier on port 8000 (MODEL=folder for one of yours)
	@$(BIN)/python -m examples.service.app $(if $(MODEL),--model $(MODEL))

demo: $(READY) ## open a page to try that classifier on, port 7860
	@$(BIN)/python -m examples.service.demo $(if $(MODEL),--model $(MODEL))

workshop: $(READY) ## make a folder for a room without a network: NB="11 13" (WHEELS="linux windows macos")
	@$(BIN)/python -m tools.workshop $(NB) $(if $(WHEELS),--systems $(WHEELS)) $(if $(PY),--python $(PY)) \
	  $(if $(OUT),--out "$(OUT)") $(if $(filter 0,$(ZIP)),--no-zip)

execute: $(READY) ## run the notebooks in place (NB=11 for one), with clean diffs
	@$(BIN)/python -m tools.execute_notebooks $(if $(NB),$(or $(wildcard notebooks/$(NB)-*.ipynb),$(NB)))

editions: $(READY) ## make the notebooks of editions/ (Colab, students) from the chapters
	@$(BIN)/python -m tools.editions

pictures: $(READY) ## draw the first page's picture and write the data of the interactive pieces
	@$(BIN)/python -m tools.first_picture
	@$(BIN)/python -m tools.live_data

times: $(READY) ## write the chapters' reading times into them, the README and the first page
	@$(BIN)/python -m tools.reading_time --write

lint: $(READY) ## check the form of all code, notebooks included
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(READY) ## mend what lint can mend
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

portability: $(READY) assets ## run all tests on other code paths, the oldest and the newest versions (LANE=one-thread for one)
	@$(BIN)/python -m tools.portability $(LANE)

colab: $(READY) assets ## run the chapters as Colab would, with its packages (NB=11 for one)
	@$(BIN)/python -m tools.colab $(NB)

stress: $(READY) ## kill runs, cut their power, start them twice, and count the survivors (20 minutes)
	@$(BIN)/python -m tools.stress

bench: $(READY) assets ## measure training, pretraining and generation against others (40 minutes, idle machine)
	@$(BIN)/python -m benchmarks.finetuning
	@$(BIN)/python -m benchmarks.generation
	@$(BIN)/python -m benchmarks.pretraining

gpu-check: $(READY) ## measure a CUDA GPU: waits, fine-tuning, pretraining, generation (8 minutes or more)
	@$(BIN)/python -m benchmarks.gpu

speeds: $(READY) ## write the page of speeds from what the two above have stored
	@$(BIN)/python -m tools.speeds

address: $(READY) ## set the project's public address everywhere: make address URL=https://github.com/name/repo
	@$(BIN)/python -m tools.set_address $(URL)
	@$(BIN)/python -m tools.editions

lock: ## renew requirements.txt from pyproject.toml in a fresh environment
	@bash tools/lock.sh $(PYTHON)

clean: ## remove the rendered book and caches; keep .venv and the assets
	@rm -rf _build .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
