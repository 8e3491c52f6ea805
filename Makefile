# Each target calls one real command; `make help` lists them.
# ARGS is passed on: make lab ARGS="--no-browser --port 8890"

PYTHON ?= $(or $(shell command -v python3 || command -v python),$(error No Python was found: \
	install Python 3.10, 3.11, 3.12 or 3.13 and start again))
BIN := .venv/bin

# The file browser shows the whole course, and the first address is chapter 00. JupyterLab refuses
# to start as root without the last flag; inside a container the user often is root.
LAB_FLAGS = --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/chapters/00_start_here.ipynb \
	$(if $(filter 0,$(shell id -u)),--allow-root)

PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest tests chapters \
	--nbval-lax --nbval-current-env --nbval-cell-timeout=300 -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help lab test test-fast bench html notebooks lint lock clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

lab: ## make the environment if needed and open JupyterLab on chapter 00
	@$(PYTHON) tools/bootstrap.py lab
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m jupyterlab $(LAB_FLAGS) $(ARGS)

test: ## the whole suite: units, oracles, rules, every notebook, the browser
	@$(PYTHON) tools/bootstrap.py test
	$(PYTEST) $(ARGS)

test-fast: ## the same without the slow tests and the notebooks over 10 s
	@$(PYTHON) tools/bootstrap.py test
	$(PYTEST) --fast $(ARGS)

bench: ## measure this library beside its peers and print one table
	@$(PYTHON) tools/bootstrap.py test
	$(BIN)/python -m benchmarks $(ARGS)

html: ## the chapters as pages in build/html
	@$(PYTHON) tools/bootstrap.py lab
	$(BIN)/gptlib notebooks html chapters/*.ipynb --out build/html

notebooks: ## execute, normalise and store the chapters
	@$(PYTHON) tools/bootstrap.py lab
	$(BIN)/gptlib notebooks run chapters/*.ipynb

lint: ## ruff and the floors
	@$(PYTHON) tools/bootstrap.py test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

lock: ## write constraints.txt again (needs uv in the environment)
	$(BIN)/python tools/lock.py $(ARGS)

clean: ## remove the environment, built pages and caches (not your notebooks)
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
