"""What a method leaves to the run."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.testing import ContractError
from obliviate.testing.engine import engine_calls


@pytest.mark.parametrize(
    ("imported", "call"),
    [
        ("import torch", "torch.optim.Adam"),
        ("import torch.optim as o", "o.Adam"),
        ("from torch import optim", "optim.Adam"),
        ("from torch.optim import Adam as A", "A"),
        ("", "model.cuda"),
    ],
)
def test_the_engine_is_found_by_any_name_and_in_what_the_class_uses(
    imported: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{imported}\nclass Used:\n  def call(self, model): return inner(model)\n"
    source += f"def inner(model): return {call}(model)\n"
    (tmp_path / "of_engine.py").write_text(source + f"class Other: pass\ndef idle(model): return {call}(model)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_engine", raising=False)
    module = importlib.import_module("of_engine")
    assert engine_calls(module.Used) == [f"{call} in line 4"]
    assert engine_calls(module.Other) == []
    monkeypatch.delitem(sys.modules, "of_engine")


def test_a_class_without_a_source_is_refused() -> None:
    typed = type("Typed", (), {"__module__": "builtins"})
    with pytest.raises(ContractError, match="expected the source of Typed, got none; define it in a module"):
        engine_calls(typed)


def test_the_engine_is_found_in_every_module_of_the_package_that_the_class_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "method_package"
    package.mkdir()
    modules = {
        "__init__": "from method_package.method import Method\n",
        "method": "from . import steps\nfrom .tables import TABLE as table\n"
        "class Method:\n  def call(self, model): return steps.step(model), table\n",
        "steps": "from method_package.deeper.rates import placed\ndef step(model): return placed(model)\n",
        "tables": "def descend(loss):\n  loss.backward()\n"
        "def idle(loss):\n  loss.backward()\nTABLE = {'down': descend}\n",
        "deeper/__init__": "",
        "deeper/rates": "import torch.optim as o\ndef placed(model):\n  model.to('cpu')\n  return o.SGD(model)\n",
    }
    for name, source in modules.items():
        path = package / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    calls = engine_calls(importlib.import_module("method_package").Method)
    for name in [name for name in sys.modules if name.split(".")[0] == "method_package"]:
        del sys.modules[name]
    assert calls == [
        "model.to in line 3 of method_package.deeper.rates",
        "o.SGD in line 4 of method_package.deeper.rates",
        "loss.backward in line 2 of method_package.tables",
    ]


def test_every_module_of_mixunlearn_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call in any of them is found."""
    assert engine_calls(MixUnlearn) == []
    package = Path(inspect.getfile(MixUnlearn)).parent
    modules = [f"obliviate.methods.mixunlearn.{path.stem}" for path in package.glob("[!_]*.py")]
    source_of = inspect.getsource

    def spoilt(module: Any) -> str:
        return source_of(module).replace("F.normalize(", "F.normalize.to(").replace("nn.Conv2d(", "nn.Conv2d.to(")

    monkeypatch.setattr(inspect, "getsource", spoilt)
    calls = engine_calls(MixUnlearn)
    assert {module for module in modules if any(call.endswith(f" of {module}") for call in calls)} == {
        "obliviate.methods.mixunlearn.mix_block",
        "obliviate.methods.mixunlearn.neighbours",
        "obliviate.methods.mixunlearn.views",
    }
