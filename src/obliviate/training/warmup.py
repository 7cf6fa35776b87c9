"""What a process does once, before its first step is taken: so that the time of a run is that of its work.

A process's first optimiser makes torch import its compiler (over a second), and the first steps of a model choose and
load kernels for its shapes. Neither belongs to a method or a training, and a command line starts a process for each.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.task import Task
from obliviate.training.precision import Precision
from obliviate.training.randomness import seeded

_done: Final[set[Hashable]] = set()  # what this process has met before


def warm_up(model: nn.Module, samples: Samples, task: Task, precision: Precision) -> None:
    """Take a step of every kind of optimiser, and one down the loss of a copy of the model, on one sample twice.

    Each is done once in a process: the former for a device, the latter for a device, a precision, and an architecture
    with inputs of a shape. Neither the model nor any random state is changed.

    >>> from obliviate.task import Classification
    >>> model, x = nn.Linear(2, 2), torch.zeros(1, 2)
    >>> samples = Samples.from_tensors(x, torch.zeros(1).long())
    >>> warm_up(model, samples, Classification(classes=2), Precision.choose("float32", torch.device("cpu")))
    >>> model.weight.grad is None
    True
    """
    shapes = tuple(tuple(parameter.shape) for parameter in model.parameters())
    batch = samples.take(torch.zeros(1, dtype=torch.long))
    key = (precision, type(model), shapes, tuple(batch.x.shape), batch.x.dtype)
    if key in _done:
        return
    with _random_state_kept():
        _warm_optimizers(precision.device)
        # Whatever is wrong with the model comes again, with a message of its own, from whoever trains it: a method
        # may have no need of what fails here. The time told is longer then, by what was not done.
        with suppress(Exception):
            _warm_model(model, samples, task, precision)
    if precision.device.type == "cuda":
        torch.cuda.synchronize(precision.device)
    _done.add(key)


def _warm_optimizers(device: torch.device) -> None:
    if device in _done:
        return
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        parameter = nn.Parameter(torch.zeros(2, device=device))
        optimizer = kind([parameter], lr=0.1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        parameter.square().sum().backward()
        nn.utils.clip_grad_norm_([parameter], 1.0)
        optimizer.step()
        scheduler.step()
    _done.add(device)


def _warm_model(model: nn.Module, samples: Samples, task: Task, precision: Precision) -> None:
    private = precision.prepare(copy.deepcopy(model)).train()
    batch = samples.take(torch.zeros(2, dtype=torch.long))  # one sample is too few for batch norm
    batch = replace(batch, x=precision.inputs(batch.x), y=batch.y.to(precision.device))
    for training in (True, False):
        private.train(training)
        with precision.autocast():
            loss = task.loss(private, batch)
        if loss.requires_grad:
            loss.backward()
    if batch.x.is_floating_point():  # the searches for adversarial examples ask for the gradient of the input
        x = batch.x.requires_grad_()
        torch.autograd.grad(task.loss(private, replace(batch, x=x)), x)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # a user's model may draw from either
    try:
        with seeded(0):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
