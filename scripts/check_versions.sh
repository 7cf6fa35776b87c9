#!/usr/bin/env bash
# Run the fast tests in a fresh environment: with the lowest versions that pyproject.toml allows, or with another Python.
#
#   scripts/check_versions.sh lowest [PYTHON] [TESTS ...]     # uv's --resolution lowest-direct
#   scripts/check_versions.sh newest [PYTHON] [TESTS ...]     # what a user gets today
#
# Needs uv on the PATH. PYTHON is an interpreter, python3 if left out; TESTS are files and folders for pytest, all if left
# out.
set -euo pipefail

resolution=${1:?lowest or newest}
python=${2:-python3}
shift $(($# < 2 ? $# : 2))
tests=("$@")
case $resolution in
    lowest) how=(--resolution lowest-direct) ;;
    newest) how=() ;;
    *) echo "expected lowest or newest, got $resolution; name one of them" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
uv venv --quiet --python "$python" "$environment/venv"
uv pip install --quiet --python "$environment/venv/bin/python" ${how[@]+"${how[@]}"} --editable ".[test]"
"$environment/venv/bin/python" -c 'import sys, torch, numpy; print(sys.version.split()[0], torch.__version__, numpy.__version__)'
# Warnings of other packages about each other are no failures here.
OMP_NUM_THREADS=1 PATH=$environment/venv/bin:$PATH "$environment/venv/bin/python" -m pytest -q -o filterwarnings=default -p no:cacheprovider \
    --numprocesses auto --dist loadfile ${tests[@]+"${tests[@]}"}
