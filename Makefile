PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(shell test `id -u` = 0 || echo sudo)

.PHONY: demo test test-slow test-gpu test-lowest check docs release bench bench-demo bench-audit clean
demo: $(VENV)/.installed
	$(BIN)/obliviate demo --out demo

# A process per core, each with whole files, so that what a file's tests share is made once. One core is enough. What is
# compiled once is read by all processes that tests start, also where the environment says not to keep it.
test test-slow test-gpu: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

# The fast tests that go by the public functions, on the first CUDA device; refused where there is none.
test-gpu: $(VENV)/.installed-dev
	OBLIVIATE_TEST_GPU=1 $(BIN)/pytest tests/methods/test_contract.py tests/workflow tests/cli/commands/test_device.py

# The fast tests in a fresh environment with the lowest versions that pyproject.toml allows; needs uv.
test-lowest:
	scripts/check_versions.sh lowest $(PYTHON)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The site, into docs/_build/html. A warning is an error, and a link to what is not there is a warning.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# The wheel, the source archive, their bill of materials and hashes, checked, into dist.
release: $(VENV)/.installed-release
	$(BIN)/python scripts/release.py

# Pairs timed in one run: ours beside the straightforward way, and the limits of the machine (docs/performance.md).
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/passes.py

bench-demo: $(VENV)/.installed
	$(BIN)/python benchmarks/demo.py

bench-audit: $(VENV)/.installed
	$(BIN)/python benchmarks/self_audit.py

clean:
	rm -rf $(VENV) demo dist docs/_build docs/api docs/notebooks

# Tests of the ledger start a PostgreSQL server of their own, those of the dashboard a Chromium, by Debian's packages.
# The tested versions come from constraints.txt; the package itself asks for ranges.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ($(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq postgresql)
	command -v chromium >/dev/null || ($(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium)
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

$(VENV)/.installed-release: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[release]"
	touch $@
