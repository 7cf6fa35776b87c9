"""The task that data are for."""

from __future__ import annotations

import numpy as np

from obliviate.data.sources import Data
from obliviate.task.base import Task
from obliviate.task.causal_lm import CausalLM
from obliviate.task.classification import Classification
from obliviate.task.multi_label import MultiLabel
from obliviate.task.regression import Regression

TOLERANCE = 0.5  # standard deviations of the target within which a predicted number counts as right


def task_of(data: Data) -> Task:
    """Return the task of data as `sources.load_data` gives them.

    Images may be perturbed within `data.input_range`, of a table the numeric columns within the range of the training
    rows, of texts the embeddings.
    A number is right within half a standard deviation of the training targets.

    >>> from obliviate.data.sources import embedded
    >>> task_of(embedded())
    Classification(classes=10, input_range=(0.0, 1.0), perturbable=None, tokens=False)
    """
    if data.kind == "multi-label":
        return MultiLabel(labels=data.classes)
    if data.kind == "regression":
        return Regression(outputs=data.classes, tolerance=TOLERANCE)
    if data.kind == "causal-lm":
        return CausalLM(tokens=data.classes)
    names = () if data.targets is None else data.targets.names
    if data.vocabulary is not None:
        return Classification(classes=data.classes, input_range=None, tokens=True, names=names)
    if data.features is not None:
        features = data.features
        return Classification(
            classes=data.classes,
            input_range=(tuple(features.low.tolist()), tuple(features.high.tolist())),
            perturbable=tuple(np.flatnonzero(features.continuous).tolist()),
            names=names,
        )
    return Classification(classes=data.classes, input_range=data.input_range or (0.0, 1.0), names=names)
