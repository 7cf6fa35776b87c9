#!/usr/bin/env bash
# ResNet-18 on all of CIFAR-10 on a GPU machine that is lent bare, without a network, for minutes.
#
# The machine needs Python 3.11 or later with torch, numpy, scipy, scikit-learn, safetensors, jaxtyping, jinja2,
# matplotlib, pydantic and pillow; what it lacks can be brought as wheels. This repository's files are copied there, what git
# ignores only where it is named. The data are 97 MB; where a copy holds less, they go in two parts, one with each
# command. Small files come back from $OUT (or `--out`).
#
# 1. At home, once (build/ is ignored by git; the second line only for what the machine lacks):
#
#      benchmarks/gpu.sh parts FOLDER                        # the mosaics, into build/parts/1, build/parts/2, …
#      benchmarks/gpu.sh wheels 3.12                         # for that Python, into build/wheels
#
# 2. On the machine, with the repository and build/parts/1 (and build/wheels): 2 minutes at most.
#
#      benchmarks/gpu.sh --stage data --data build/parts/1 && benchmarks/gpu.sh --stage check --minutes 2
#
# 3. On the same machine right after, with the repository and build/parts/2, under a limit of 600 s:
#
#      benchmarks/gpu.sh --data build/parts/2 --minutes 9
#
#    Where the first command was too long or the machine was lost, everything is in order after 2 and 3 again; what came
#    back of an earlier 3 is brought along and used by `--resume FOLDER`.
#
# 4. At home, if the audit was not reached (it needs no GPU):
#
#      benchmarks/gpu.sh --stage audit --data FOLDER --resume FOLDER-THAT-CAME-BACK --work build/audit --out build/audited
#
# A rehearsal on a processor: benchmarks/gpu.sh --toy --out build/toy-out --work build/toy
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

case "${1:-}" in
parts) # a folder of mosaics, in parts of at most 50 MiB
  source=${2:?expected the folder of the mosaics, got none; give it}
  rm -rf build/parts
  part=1 size=0
  for file in "$source"/*.npy "$source"/*.webp; do
    bytes=$(wc -c <"$file")
    if [ $((size + bytes)) -gt $((50 * 1024 * 1024)) ]; then part=$((part + 1)) size=0; fi
    mkdir -p "build/parts/$part"
    cp "$file" "build/parts/$part/"
    size=$((size + bytes))
  done
  du -sh build/parts/*
  exit
  ;;
wheels) # what an image with torch and the usual packages lacks, for its Python; tests need the second line
  version=${2:?expected the version of Python there, as 3.12, got none; give it}
  rm -rf build/wheels
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest build/wheels \
    annotated-types cyclopts docstring-parser pydantic==2.14.3 pydantic-core==2.50.4 rich-rst typing-extensions \
    typing-inspection beartype eagerpy foolbox gitdb gitpython smmap
  du -sh build/wheels
  exit
  ;;
esac

export PYTHONPATH="$PWD/src:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if compgen -G 'build/wheels/*.whl' >/dev/null && [ ! -e build/site ]; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target build/site build/wheels/*.whl
fi
if [ -d build/site ]; then export PYTHONPATH="$PYTHONPATH:$PWD/build/site"; fi
exec "$python" benchmarks/gpu.py "$@"
