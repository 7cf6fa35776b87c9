"""What lies in `scripts` and `benchmarks`, as modules."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from pages import ROOT

BENCHMARKS: Final = ROOT / "benchmarks"


def script(name: str) -> ModuleType:
    """The module of `scripts/NAME.py`, which nothing else can import."""
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def benchmark(name: str) -> Iterator[ModuleType]:
    """The module of `benchmarks/NAME.py`; it and those beside it that it imports are not left behind."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module(name)
    for added in set(sys.modules) - before:
        if Path(getattr(sys.modules[added], "__file__", None) or "").parent == BENCHMARKS:
            del sys.modules[added]
