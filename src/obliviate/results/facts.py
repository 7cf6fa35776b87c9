"""Where results.json comes from: task, data, references and machine."""

from __future__ import annotations

from pydantic import JsonValue

from obliviate.results.values import Value


class TaskFacts(Value):
    """The task of the models."""

    kind: str
    """`classification`, `regression`, …"""
    right: str
    """what counts as right, in a few words"""
    settings: dict[str, JsonValue]
    """for classification `classes` and `input_range`, …"""


class DataFacts(Value):
    """The data and their parts, in numbers of samples."""

    name: str
    """of the data"""
    forget_rule: str
    """how the forget set was chosen"""
    train: int
    """forget and retain set"""
    forget: int
    """the forget set"""
    retain: int
    """the retain set"""
    holdout: int
    """samples held out for methods"""
    test: int
    """the unseen samples"""


class ReferenceFacts(Value):
    """The reference pool."""

    models: int
    """number of references"""
    seconds: float
    """time of all of them together"""
    fingerprint: str
    """of what it was trained on"""


class Machine(Value):
    """Where it was computed."""

    cpu: str
    """processor"""
    cores: int | None
    """number of its cores"""
    system: str
    """operating system"""
