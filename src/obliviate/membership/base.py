"""The attack contract and the registry.

An attack is a frozen, keyword-only dataclass: its fields are settings, and calling it with a target gives one score for
each sample, higher for members. It says by attributes what it needs, and what it reads of reference models.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate._util.plugins import Registry
from obliviate.errors import AuditError
from obliviate.membership.moments import Moments
from obliviate.membership.outputs import Outputs
from obliviate.results.values import Use

REGISTRY: Final = Registry(
    kind="attack",
    group="obliviate.attacks",
    attributes=("name", "title", "source", "needs", "use", "signals"),
    needs=frozenset({"references", "shadows", "classes"}),
    page="docs/attacks.md",
    error=AuditError,
)
USES: Final = get_args(Use)
PARTS: Final = ("forget", "retain", "unseen")
FIRST: Final = 4  # references whose signals are kept, one by one, to fit settings on

Scores: TypeAlias = Float[np.ndarray, " n"]


@runtime_checkable
class Signal(Protocol):
    """One number a sample that an attack reads of a model's outputs, float64 and finite.

    A signal is a value that can be hashed, such as a frozen dataclass: attacks that read equal signals share what is
    kept of the references.
    """

    def __call__(self, outputs: Outputs) -> Float[np.ndarray, " n"]: ...


Readings: TypeAlias = Mapping[Signal, np.ndarray]
"""What signals are on some samples."""


def readings(outputs: Outputs, signals: Collection[Signal]) -> dict[Signal, np.ndarray]:
    """Read each signal once."""
    return {signal: signal(outputs) for signal in signals}


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What attacks know of models that had, and had not, each sample: the moments of every signal.

    `first` are the readings of the first few of these models, each with the samples that it was trained on.
    """

    moments: Mapping[Signal, Moments]
    first: tuple[tuple[Readings, Bool[np.ndarray, " n"]], ...] = ()

    @classmethod
    def of(cls, references: Iterable[tuple[Readings, Bool[np.ndarray, " n"]]], *, samples: int) -> Knowledge:
        """Read every reference once, in order; memory does not grow with their number.

        >>> had = np.array([True, False])
        >>> known = Knowledge.of([({len: np.array([1.0, 2.0])}, had), ({len: np.array([3.0, 4.0])}, ~had)], samples=2)
        >>> known.moments[len].mean(inside=True).tolist()
        [1.0, 4.0]
        """
        moments: dict[Signal, Moments] = {}
        first = []
        for read, included in references:
            for signal, values in read.items():
                moments[signal] = moments.get(signal, Moments.empty(samples)).add(values, included)
            if len(first) < FIRST:
                first.append((read, included))
        return cls(moments, tuple(first))

    def without(self, read: Readings, included: Bool[np.ndarray, " n"]) -> Knowledge:
        """What is known without one of these models, so that it can play the target."""
        return Knowledge({signal: moments.without(read[signal], included) for signal, moments in self.moments.items()})


@dataclass(frozen=True, eq=False)
class Target:
    """A model under attack: its outputs, which samples play which part, and what is known of other models.

    `parts` are indices into `PARTS`. `population` indexes samples that this model was certainly not trained on; of a
    reference that plays the target these are fewer than the unseen ones.
    """

    outputs: Outputs
    parts: Int[np.ndarray, " n"]
    population: Int[np.ndarray, " z"]
    knowledge: Knowledge

    def index(self, part: Literal["forget", "retain", "unseen"]) -> Int[np.ndarray, " k"]:
        """Where the samples of a part are."""
        return np.flatnonzero(self.parts == PARTS.index(part))

    def signal(self, signal: Signal) -> Float[np.ndarray, " n"]:
        """What a signal is on this model."""
        return signal(self.outputs)

    def moments(self, signal: Signal) -> Moments:
        """What is known of a signal on other models."""
        return self.knowledge.moments[signal]


@runtime_checkable
class Attack(Protocol):
    """A membership inference attack.

    `name` is its name in the registry, `title` that in the literature and `source` the publication. `needs` says what
    must be there, of "references" (models trained with and without each sample), "shadows" (references that were
    unlearned as the model was) and "classes". `use` is what an audit does with it: verdicts rest on it ("verdict"), its
    AUCs are shown beside them ("figure"), or it is a cheap look at one model that runs where it is asked for
    ("cheap"), and is reported by its balanced accuracy, so that scores above 0 must mean "member".

    `signals` are what it reads of references or shadows. A call gives one score a sample, higher for members, and NaN
    for samples that it learns from. It must not depend on anything but the target and its settings.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    use: ClassVar[Use]

    @property
    def signals(self) -> tuple[Signal, ...]: ...

    def __call__(self, target: Target) -> Scores: ...


@runtime_checkable
class Fitted(Protocol):
    """An attack with settings that are fitted on the references, before it sees any audited model."""

    def fitted(self, knowledge: Knowledge, population: Int[np.ndarray, " z"]) -> Attack: ...


def fit(attack: Attack, knowledge: Knowledge, population: Int[np.ndarray, " z"]) -> Attack:
    """The attack with all its settings, so that its `repr` says what was done."""
    return attack.fitted(knowledge, population) if isinstance(attack, Fitted) else attack


def settings_of(attack: Attack) -> dict[str, Any]:
    """The settings of an attack by name.

    Raises AuditError for settings that are not numbers, texts or booleans, which results could not hold.
    """
    assert dataclasses.is_dataclass(attack)
    values = {field.name: getattr(attack, field.name) for field in dataclasses.fields(attack)}
    if strange := [name for name, value in values.items() if not isinstance(value, int | float | str | bool | None)]:
        raise AuditError(
            f"expected settings of {attack.name} that are numbers, texts or booleans, got {', '.join(strange)} of "
            "another kind; results could not hold them"
        )
    return values


def register(registry: dict[str, type[Any]], cls: type[Any]) -> None:
    """Add one attack class to a registry, after checking that it keeps the contract; raises AuditError."""
    REGISTRY.check(cls)
    if {"references", "shadows"} <= cls.needs:
        raise AuditError(f"expected references or shadows, got both in {cls.__name__}; their samples are others")
    if cls.use not in USES or (cls.use == "cheap") > cls.needs.isdisjoint({"references", "shadows"}):
        raise AuditError(
            f"expected a use of {', '.join(USES)}, and a cheap attack to need no other models, got {cls.use!r} in "
            f"{cls.__name__}; correct it"
        )
    REGISTRY.add(registry, cls)


def with_plugins(built_in: Sequence[type[Any]]) -> dict[str, type[Any]]:
    """The built-in attacks, then those that installed packages offer through the entry-point group."""
    return REGISTRY.all_of(built_in, register)


def describe(cls: type[Any]) -> dict[str, Any]:
    """What an attack says of itself: name, title, source, needs, use, one sentence, default settings."""
    return {
        "name": cls.name,
        "title": cls.title,
        "summary": (inspect.getdoc(cls) or "").splitlines()[0],
        "source": cls.source,
        "needs": sorted(cls.needs),
        "use": cls.use,
        "defaults": {field.name: field.default for field in dataclasses.fields(cls)},
    }
