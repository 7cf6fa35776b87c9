"""What a retraining, a run of a method and a reference take: measured in a folder, or on grounds that were shipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final

from obliviate._util.files import read_sealed_json
from obliviate.advice import read_cells
from obliviate.errors import ProjectError
from obliviate.project.costs import between, counted, method_of
from obliviate.requests import Requests

TAUGHT: Final = frozenset({"never_seen"})
"""Methods that learn from teachers."""
EXACT: Final = frozenset({"retrain", "sisa"})
"""Methods whose cost follows from that of a training."""
NOT_METHODS: Final = frozenset({"original", "retrained"})


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What something takes as a share of a retraining, and what that was measured on.

    Raises ProjectError for shares that are not finite and above 0.

    >>> Unit(share=0.2, measured_on="3 models, for 5 samples").share
    0.2
    """

    share: float
    measured_on: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.share) and self.share > 0):
            raise ProjectError(f"expected a share of a retraining above 0, got {self.share}; measure it again")


HALF: Final = Unit(share=0.5, measured_on="half of the samples of a retraining")


@dataclass(frozen=True, kw_only=True)
class Units:
    """What one of each thing takes: `samples` are those that the retraining of `seconds` was on.

    Seconds are None where no training was measured: costs are in retrainings then. `methods` are approximate ones,
    `member` is one reference or teacher, `epochs` the passes of a training, which slices divide.

    >>> Units.shipped(samples=10_000).methods["fine_tune"].measured_on
    '... cells that the package ships, on ... grounds'
    """

    samples: int
    seconds: float | None = None
    measured_on: str = "not measured"
    methods: Mapping[str, Unit] = field(default_factory=dict)
    member: Unit = HALF
    epochs: int = 20

    @classmethod
    def shipped(cls, *, samples: int) -> Units:
        """What the package's own cells say (`advice.read_cells`): medians of requests at random, with a retain set.

        Raises ProjectError for fewer than one sample.
        """
        if samples < 1:
            raise ProjectError(f"expected 1 training sample or more, got {samples}; correct --samples")
        costs: dict[str, list[tuple[float, str]]] = {}
        for cell in read_cells():
            usual = "(" not in cell.method and cell.method not in NOT_METHODS
            if usual and cell.request == "random" and cell.retain_set and cell.cost:
                costs.setdefault(cell.method, []).append((cell.cost / 100, cell.ground))
        methods = {
            name: Unit(
                share=median(share for share, _ in measured),
                measured_on=f"{counted(len(measured), 'cell')} that the package ships, on "
                + counted(len({ground for _, ground in measured}), "ground"),
            )
            for name, measured in sorted(costs.items())
        }
        return cls(samples=samples, methods=methods)

    @classmethod
    def measured(cls, workspace: Path, *, samples: int | None = None) -> Units:
        """What was done in a folder took; what was never done there is as the package's cells say.

        Of several runs it is the median; a retraining is that of the models that were retrained, before the first the
        training of the original. `samples` are the training samples of a folder in which nothing was trained yet.
        Raises ProjectError where neither tells how many there are.
        """
        models = Requests(workspace).models() if workspace.is_dir() else []
        trained = [model for model in models if method_of(model) == "retrain"] or [
            model for model in models if model.slot.request is None and model.manifest.seconds > 0
        ]
        if not trained:
            if samples is None:
                raise ProjectError(
                    f"expected a training in {workspace} to measure costs by, got none; say how many training samples "
                    "there are with --samples, and costs are in retrainings"
                )
            return cls.shipped(samples=samples)
        noun = "retrained model" if method_of(trained[0]) == "retrain" else "original"
        sizes = [len(model.manifest.ids) for model in trained]
        seconds, size = median(model.manifest.seconds for model in trained), round(median(sizes))
        units = replace(
            cls.shipped(samples=size),
            seconds=seconds,
            measured_on=f"{counted(len(trained), noun)}, trained on {between(sizes)} samples",
            epochs=int(trained[0].manifest.recipe.get("epochs", 20)),
        )
        asked = {request.number: len(request.ids) for request in Requests(workspace).all}
        methods = dict(units.methods)
        for name in {method_of(model) for model in models if model.slot.request is not None} - EXACT:
            runs = [model for model in models if method_of(model) == name and model.manifest.seconds > 0]
            if runs:
                asked_of = [asked.get(model.slot.request or 0, 0) for model in runs]
                on = f"{counted(len(runs), 'model')}, for {between(asked_of)} samples"
                share = median(model.manifest.seconds for model in runs) / seconds
                methods[name] = Unit(share=share, measured_on=on)
        members = [
            read_sealed_json(path)["seconds"]
            for folder in ("references", "teachers")
            for path in sorted(workspace.glob(f"{folder}/**/member-*.json"))
        ]
        if members:
            on = f"{counted(len(members), 'reference')} that are there"
            units = replace(units, member=Unit(share=median(members) / seconds, measured_on=on))
        units = replace(units, methods=methods)
        return units if samples is None else units.scaled(samples)

    def scaled(self, samples: int) -> Units:
        """The same for another number of training samples: a training takes as long as it has samples.

        >>> Units(samples=100, seconds=2.0).scaled(1000).seconds
        20.0
        """
        if samples < 1:
            raise ProjectError(f"expected 1 training sample or more, got {samples}; correct --samples")
        seconds = None if self.seconds is None else self.seconds * samples / self.samples
        on = self.measured_on if seconds is None or samples == self.samples else f"{self.measured_on}; scaled"
        return replace(self, samples=samples, seconds=seconds, measured_on=on)
