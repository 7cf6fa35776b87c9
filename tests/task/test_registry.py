import json
from typing import Any

import pytest

from obliviate import task as tasks
from obliviate.errors import DataError
from obliviate.task import CausalLM, Classification, MultiLabel, Regression, Task


@pytest.mark.parametrize(
    "task",
    [
        Classification(classes=7),
        Classification(classes=2, input_range=None),
        Classification(classes=3, input_range=(-1.0, 2.0)),
        Classification(classes=3, input_range=((-1.0, 0.0), (2.0, 5.0)), perturbable=(1,)),
        Classification(classes=3, tokens=True),
        MultiLabel(labels=4),
        Regression(outputs=2, scale=0.5, tolerance=0.1),
        CausalLM(tokens=65),
    ],
)
def test_a_task_survives_json(task: Task):
    assert tasks.from_dict(json.loads(json.dumps(tasks.to_dict(task)))) == task


@pytest.mark.parametrize("values", [{}, {"kind": "segmentation"}])
def test_an_unknown_task_is_refused(values: dict[str, Any]):
    with pytest.raises(DataError, match=r"^expected a task of classification, .*causal-lm, got .*; "):
        tasks.from_dict(values)
