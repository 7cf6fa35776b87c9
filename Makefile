PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-slow test-lowest check bench bench-audit clean
demo: $(VENV)/.installed
	$(BIN)/obliviate demo --out demo

# A process per core, each with whole files, so that what a file's tests share is made once. One core is enough.
test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

# Some of the fast tests in a fresh environment with the lowest versions that pyproject.toml allows; needs uv.
test-lowest:
	scripts/check_versions.sh lowest $(PYTHON)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/demo.py

bench-audit: $(VENV)/.installed
	$(BIN)/python benchmarks/self_audit.py

clean:
	rm -rf $(VENV) demo dist

# The tested versions come from constraints.txt; the package itself asks for ranges.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	touch $@
