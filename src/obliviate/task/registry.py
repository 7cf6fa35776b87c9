"""Tasks by their names, in JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, cast

from obliviate.errors import DataError
from obliviate.task.base import Task
from obliviate.task.causal_lm import CausalLM
from obliviate.task.classification import Classification
from obliviate.task.multi_label import MultiLabel
from obliviate.task.regression import Regression

TASKS: Final[dict[str, type[Task]]] = {cls.kind: cls for cls in (Classification, MultiLabel, Regression, CausalLM)}


def to_dict(task: Task) -> dict[str, Any]:
    """Describe a task in JSON values."""
    values = dataclasses.asdict(cast(Any, task))
    return {"kind": task.kind, **{key: _lists(value) for key, value in values.items()}}


def from_dict(values: Mapping[str, Any]) -> Task:
    """Read what `to_dict` returned; raises DataError for an unknown kind.

    >>> from_dict({"kind": "classification", "classes": 3}).classes
    3
    """
    kind = values.get("kind")
    if kind not in TASKS:
        raise DataError(f"expected a task of {', '.join(TASKS)}, got {kind!r}; name one of them")
    return TASKS[kind](**{key: _tuples(value) for key, value in values.items() if key != "kind"})


def _lists(value: Any) -> Any:
    return [_lists(entry) for entry in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value
