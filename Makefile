PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(shell test `id -u` = 0 || echo sudo)

.PHONY: demo test test-slow check bench bench-audit clean
demo: $(VENV)/.installed
	$(BIN)/obliviate demo --out demo

# A process per core, each with whole files, so that what a file's tests share is made once. One core is enough.
test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

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

# Tests of the ledger start a PostgreSQL server of their own, by Debian's package.
# The tested versions come from constraints.txt; the package itself asks for ranges.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(SUDO) apt-get install -y postgresql
	touch $@
