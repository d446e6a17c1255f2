# The two commands of hessbit are `make demo` and `make test`; each sets up what it needs, once.
#   make demo ARGS="--preset ci --bits W4A4 --images 20"
PY := .venv/bin/python
JOBS ?= 2
ARGS ?=
TESTS ?= tests

.PHONY: setup demo test lint clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: ## install everything (does nothing the second time)
	@bash tools/setup.sh

demo: setup ## run the main job: checkpoint to bit-exact RTL, with a table at the end
	@$(PY) -m hessbit demo $(ARGS)

lint: setup ## ruff, mypy, generated files, Verilator lint
	@bash tools/lint.sh

test: lint ## lint, then all tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile -q $(TESTS)

clean: ## remove what builds leave (not .venv)
	rm -rf build out .mypy_cache .ruff_cache .pytest_cache .hypothesis
