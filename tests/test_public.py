import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import obliviate
from obliviate.methods import BUILT_IN

OTHERS = [
    "AuditResult",
    "AuditSettings",
    "Batch",
    "CausalLM",
    "Classification",
    "CoinFlips",
    "Coins",
    "Comparison",
    "Compute",
    "Experiment",
    "Inspection",
    "Measuring",
    "Method",
    "MultiLabel",
    "ObliviateError",
    "PlantedNoise",
    "Recipe",
    "ReferencePool",
    "Regression",
    "Rule",
    "Run",
    "Samples",
    "Session",
    "ShadowPool",
    "Split",
    "Task",
    "TrainedModel",
    "Tuned",
    "UnlearningClassifier",
    "UnlearningRegressor",
    "Update",
    "adversarial_examples",
    "audit_models",
    "balanced_weights",
    "class_ids",
    "coin_flips",
    "compare",
    "computing",
    "inspect_models",
    "load_data",
    "load_references",
    "memorised",
    "mislabelled",
    "noise_test",
    "owner",
    "plant",
    "planted_noise",
    "random_ids",
    "recipe_for",
    "save_report",
    "format_table",
    "task_of",
    "toss",
    "train",
    "train_references",
    "train_shadows",
    "tune",
    "within_budget",
    "unlearn",
    "where",
    "with_copies",
]
PUBLIC = sorted([*OTHERS, *(cls.__name__ for cls in BUILT_IN)])


def test_the_public_names_are_these() -> None:
    assert sorted(obliviate.__all__) == PUBLIC  # ruff keeps the order, capitals first
    assert dir(obliviate) == PUBLIC


@pytest.mark.parametrize("cls", BUILT_IN, ids=lambda one: one.name)
def test_every_method_is_public(cls: type[Any]) -> None:
    assert getattr(obliviate, cls.__name__) is cls


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_what_its_module_defines(name: str) -> None:
    found = getattr(obliviate, name)
    home = importlib.import_module(found.__module__)
    assert getattr(home, found.__name__) is found
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'obliviate' has no attribute 'forget_everything'"):
        _ = obliviate.forget_everything


def test_importing_the_package_does_not_import_torch() -> None:
    check = "import sys, obliviate; assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def functions(name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A public function, or the public methods of a public class that are written in this package."""
    value = getattr(obliviate, name)
    if not inspect.isclass(value):
        yield name, value
        return
    for attribute in [*(key for key in dir(value) if not key.startswith("_")), "__call__"]:
        method = getattr(value, attribute, None)
        if inspect.isroutine(method) and (inspect.getmodule(method) or sys).__name__.startswith("obliviate"):
            yield f"{name}.{attribute}", method


def test_no_public_function_has_more_than_eight_parameters() -> None:
    counts = {
        called: len([parameter for parameter in inspect.signature(function).parameters if parameter != "self"])
        for name in PUBLIC
        for called, function in functions(name)
    }
    assert {"unlearn", "Session.forget", "Run.fit", "AMUN.__call__"} <= set(counts)
    assert {called: count for called, count in counts.items() if count > 8} == {}
