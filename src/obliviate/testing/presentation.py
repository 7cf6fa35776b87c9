"""How a method presents itself: its hyperparameters, their defaults, and what is said of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from obliviate.errors import MethodError
from obliviate.methods import base
from obliviate.testing.bench import Bench
from obliviate.testing.check import ContractError, expect


def is_a_frozen_dataclass_with_keyword_only_fields(method: Any, bench: Bench, folder: Path) -> None:
    """Its fields are hyperparameters with defaults, and its `repr` names them all."""
    base.register({}, type(method))
    expect(isinstance(method, base.Method), method, "a method", "an object without `__call__`")
    for setting in dataclasses.fields(method):
        expect(setting.kw_only is True, method, f"{setting.name} to be keyword-only", "a positional field")
        expect(f"{setting.name}=" in repr(method), method, f"a repr that shows {setting.name}", repr(method))
    lacking = [setting.name for setting in dataclasses.fields(method) if _without_default(setting)]
    expect(not lacking, method, "a default for every field", f"none for {', '.join(lacking)}")


def _without_default(setting: dataclasses.Field[Any]) -> bool:
    return setting.default is dataclasses.MISSING and setting.default_factory is dataclasses.MISSING


def describes_itself(method: Any, bench: Bench, folder: Path) -> None:
    """Name, one sentence, source, and the defaults of all fields."""
    described = base.describe(type(method))
    expect(described["summary"].endswith("."), method, "a docstring that begins with a sentence", described["summary"])
    expect(bool(described["source"]), method, "a source", "none; name the publication, or say that it is yours")
    fields = {setting.name for setting in dataclasses.fields(method)}
    shown = set(described["defaults"])
    expect(shown == fields, method, "a plain default for every field", f"none for {sorted(fields - shown)}")


def refuses_hyperparameters_out_of_range(method: Any, bench: Bench, folder: Path) -> None:
    """`epochs`, `learning_rate`, `batch_size` and `clip_norm` of 0, where it has them."""
    for name in {"epochs", "learning_rate", "batch_size", "clip_norm"} & {
        setting.name for setting in dataclasses.fields(method)
    }:
        try:
            type(method)(**{name: 0})
        except MethodError:
            continue
        raise ContractError(
            f"expected {method.name} to refuse {name}=0 with a MethodError, got a method; "
            "call `check_positive` in `__post_init__`"
        )
