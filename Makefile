# One vocabulary for people and for CI. `make help` lists it.
#
#   PYTHON=/path/to/python3.12   the interpreter that .venv is made with
#   PORT=8000                    where `make serve` listens
#   WORKERS=2                    processes of `make test`
#   NB=notebooks/03_....ipynb    the notebooks that `make refresh` runs (default: all)
#   EDITION=zh                   the edition of `make lab` and `make pdf` (default: English)
#   ARGS="-k rotate"             more arguments for pytest

BIN := .venv/bin
SITE := _build/html
BUILT := _build/complete
SOURCES := Makefile _config.yml _toc.yml $(shell find book notebooks rope_lib -type f \
	-not -path '*/.*' -not -path '*/__pycache__/*' 2>/dev/null)
PORT ?= 8000
CORES = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
LIBRARY := tests/rotation tests/models tests/course
WORKERS ?= $(shell test $(CORES) -gt 4 && echo 4 || echo $(CORES))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help environment book serve offline pdf lab translate test quick refresh share ledger bench bench-gpu lint format lock clean-site clean

help: ## list these commands
	@echo "usage: make COMMAND"
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  %-12s %s\n", $$1, $$2 }'

environment: ## make or mend .venv (the other commands do it by themselves)
	@sh tools/environment.sh

TRANSLATE := $(BIN)/python tools/translate.py
CHINESE := _build/zh

define build
@$(BIN)/jupyter-book build . --all -W --keep-going -n
@$(TRANSLATE) write $(CHINESE)
@$(BIN)/jupyter-book build $(CHINESE) --path-output $(CHINESE) --all -W --keep-going -n
@rm -rf $(SITE)/zh && cp -R $(CHINESE)/_build/html $(SITE)/zh
@touch $(BUILT)
endef

book: environment ## build the whole site in both languages; a warning is an error
	$(build)
	@echo "The book is built. Open file://$(CURDIR)/$(SITE)/index.html or run: make serve"

$(BUILT): $(SOURCES) | environment
	$(build)

serve: $(BUILT) ## serve the site on this machine only (PORT=8000), building it if needed
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) $(PORT) || \
		{ echo "serve: if the port is taken, try another: make serve PORT=8001"; exit 1; }

offline: $(BUILT) ## pack the site into one zip file that opens from a disk
	@$(BIN)/python tools/offline.py $(SITE) _build/rope-book.zip

EDITION := en
NOT_ENGLISH := $(filter-out en,$(EDITION))
SINGLE := _build/single/_build/singlehtml

pdf: environment ## print the whole book to one PDF (needs Chromium; EDITION=)
	@$(if $(NOT_ENGLISH),$(TRANSLATE) write $(CHINESE))
	@$(BIN)/jupyter-book build $(if $(NOT_ENGLISH),$(CHINESE),.) --path-output _build/single \
		--builder custom --custom-builder singlehtml --all -W --keep-going -n
	@cp $(SINGLE)/book/intro.html $(SINGLE)/index.html # its styles are named from the root
	@$(BIN)/python tools/pdf.py $(SINGLE)/index.html _build/rope-book$(NOT_ENGLISH:%=-%).pdf

# Chinese notebooks are written once and then kept: somebody may be at work in them.
lab: environment ## open the notebooks in JupyterLab (EDITION=zh for the Chinese ones)
	@$(if $(NOT_ENGLISH),test -d _build/lab-$(EDITION) || $(TRANSLATE) notebooks _build/lab-$(EDITION))
	@$(BIN)/jupyter lab $(if $(NOT_ENGLISH),_build/lab-$(EDITION)/)notebooks

translate: environment ## put new and changed texts into the catalogues, and say what is missing
	@$(TRANSLATE) update
	@$(TRANSLATE) status

test: environment ## test the library and the site, re-execute every notebook (WORKERS=, ARGS=)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--nbval --nbval-kernel-name=bare --nbval-sanitize-with tests/nbval_sanitize.cfg -rs tests notebooks $(ARGS)

quick: environment ## test the library alone, in a minute or so (WORKERS=, ARGS=)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -p no:nbval $(LIBRARY) $(ARGS)

refresh: environment ## execute the notebooks and store their outputs (NB=path for one)
	@$(BIN)/python tools/refresh.py $(NB)

share: environment ## draw the pictures that other sites show of a chapter (needs Chromium)
	@$(BIN)/python tools/share.py

ledger: environment ## write the pages of claims and of exercises anew from what they rest on
	@$(BIN)/python tools/ledger.py
	@$(BIN)/python tools/exercises.py

PEERS = $(BIN)/python -m pip install --quiet --disable-pip-version-check

bench: environment ## time rope_lib and other libraries on a CPU, five minutes (ARGS=)
	@$(PEERS) -r benchmarks/requirements.txt -c constraints.txt
	@$(PEERS) --no-deps "torchtune==0.6.1"
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py $(ARGS)

bench-gpu: environment ## test and time the fused kernels on one GPU, ten minutes (ARGS=)
	@$(PEERS) -r benchmarks/requirements.txt -c constraints.txt
	@PYTHON=$(BIN)/python sh benchmarks/gpu.sh $(ARGS)

lint: environment ## check the style of code and notebooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: environment ## bring code and notebooks into that style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# torch is moved by hand: it must have a small CPU build where the tests run. It asks for one version
# of each of NVIDIA's packages and of Triton by itself.
TORCH := 2.13.0

lock: environment ## write constraints.txt anew: one set for every Python and platform
	@echo "torch==$(TORCH)" | $(BIN)/uv pip compile requirements.txt - --universal --python-version 3.11 \
		--upgrade --quiet --no-annotate --no-header --output-file .venv/lock.txt
	@{ sed -n '/^#/p' constraints.txt; grep -vE '^(-e|nvidia-|cuda-|triton)' .venv/lock.txt; } >.venv/new.txt
	@mv .venv/new.txt constraints.txt

clean-site: ## remove the built site
	@rm -rf _build

clean: clean-site ## remove all that these commands made, .venv included
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
