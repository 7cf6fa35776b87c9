"""What a method leaves to the run."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from obliviate import testing
from obliviate.data.split import Split
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.testing import Bench, Check, ContractError, engine
from obliviate.testing.engine import engine_calls
from obliviate.training.run import Run
from sound_method import Sound


class Moving(Sound):
    """Moves samples itself."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return super().__call__(model, Split(split.forget, split.kept.to(run.device)), run)


class Stepping(Sound):
    """Has a function take its steps."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        descended(model, run.task.loss(model, split.kept.everything()))
        return super().__call__(model, split, run)


class HeadOnly(Sound):
    """Leaves all layers but the last as they are."""

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(model.parameters())[-2:], lr=self.learning_rate)


def descended(model: nn.Module, loss: torch.Tensor) -> None:
    """Take a step of SGD at a rate of 0.01."""
    loss.backward()
    for weight in model.parameters():
        weight.data -= 0.01 * weight.grad if weight.grad is not None else 0.0


DEFECTS = [
    (engine.leaves_the_engine_to_the_run, Moving, r"of sound, got split\.kept\.to in line \d+;"),
    (engine.leaves_the_engine_to_the_run, Stepping, r"of sound, got loss\.backward in line \d+;"),
    (engine.leaves_the_engine_to_the_run, HeadOnly, r"of sound, got torch\.optim\.SGD in line \d+;"),
]
CHECKS = [check for check in testing.CHECKS if check.__module__ == engine.__name__]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(CHECKS)


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
