"""What a request would cost in a project, measured on what was done there before; nothing is filed or computed.

Every figure says what it was measured on. What has never been done has no figure: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from obliviate._util.files import read_json, read_sealed_json
from obliviate.requests import KeptModel, Requests
from obliviate.training.slicing import visits_share

if TYPE_CHECKING:
    from obliviate.project.project import Project

NEVER: Final = "not measured yet"
LATEST: Final = 20
"""Batches that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What something takes: seconds, their share of a retraining, and what both were measured on.

    Of several measurements it is the median. Seconds are None where nothing was measured, the share also where no
    retraining was.

    >>> Cost(what="amun").measured_on
    'not measured yet'
    """

    what: str
    seconds: float | None = None
    share: float | None = None
    measured_on: str = NEVER


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a request would cost, alone and together with those that wait.

    `kind` is None where only the requests that wait are looked at. `samples` is how many the request is for, which a
    rule does not tell before the worker has followed it. `together` is how many requests one unlearning would be for;
    `methods` are those of the policy, in its order.
    """

    kind: str | None
    counts: Mapping[str, int]
    samples: int | None
    pending: int
    together: int
    retraining: Cost
    methods: tuple[Cost, ...]
    evidence: tuple[Cost, ...]
    batches: tuple[Cost, ...]

    def to_dict(self) -> dict[str, Any]:
        """In JSON values."""
        return asdict(self)


def costs_of(project: Project, kind: str | None, counts: Mapping[str, int], samples: Sequence[str] | None) -> Costs:
    """Tell what a request for these samples (pseudonyms; None of a rule) would cost, and what waits with it."""
    past = _Past(project)
    pending = project.ledger.totals["pending"]
    asked = 0 if kind is None or samples == [] else 1
    together = min(pending + asked, project.config.batch)
    return Costs(
        kind=kind,
        counts=counts,
        samples=None if samples is None else len(samples),
        pending=pending,
        together=together,
        retraining=past.retraining,
        methods=tuple(past.method(name, samples) for name in project.config.methods),
        evidence=(past.references, past.audit),
        batches=past.batches(together),
    )


@dataclass(frozen=True, eq=False)
class _Past:
    """What was done in a project, as far as it says how long it took."""

    project: Project

    @cached_property
    def models(self) -> list[KeptModel]:
        return Requests(self.project.workspace).models() if self.project.workspace.is_dir() else []

    @cached_property
    def retraining(self) -> Cost:
        """A retraining; before the first, the training of the original, unless that was done elsewhere."""
        retrained = [model for model in self.models if method_of(model) == "retrain"]
        if retrained:
            return self._measured("retrain", retrained, "retrained model", "trained on")
        original = [model for model in self.models if model.slot.request is None and model.manifest.seconds > 0]
        return self._measured("retrain", original, "original", "trained on")

    def method(self, name: str, samples: Sequence[str] | None) -> Cost:
        """A method of the policy, as often as it was used here."""
        if name == "retrain":
            return self.retraining
        if name == "sisa" and (known := self._shards(samples)) is not None:
            return known
        used = [model for model in self.models if method_of(model) == name]
        return self._measured(name, used, "model", "for")

    def _measured(self, what: str, models: Sequence[KeptModel], noun: str, verb: str) -> Cost:
        if not models:
            return Cost(what=what)
        asked = {request.number: len(request.ids) for request in Requests(self.project.workspace).all}
        sizes = [
            len(model.manifest.ids) if verb == "trained on" else asked.get(model.slot.request or 0, 0)
            for model in models
        ]
        on = f"{counted(len(models), noun)}, {verb} {between(sizes)} samples"
        return self._cost(what, median(model.manifest.seconds for model in models), on)

    def _cost(self, what: str, seconds: float, on: str) -> Cost:
        whole = None if what == "retrain" else self.retraining.seconds
        share = 1.0 if what == "retrain" else None if not whole else round(seconds / whole, 4)
        return Cost(what=what, seconds=round(seconds, 3), share=share, measured_on=on)

    def _shards(self, samples: Sequence[str] | None) -> Cost | None:
        """What is repeated of a training in shards, by where the samples lie; None where that cannot be told."""
        seeds = [
            int(read_json(path)["seed"]) for path in sorted(self.project.workspace.glob("checkpoints/*/slices.json"))
        ]
        original = next((model.manifest for model in self.models if model.slot.request is None), None)
        if not samples or not seeds or original is None or original.seconds <= 0:
            return None
        pseudonyms, recipe = self.project.pseudonyms, original.recipe
        tip = self.project.ledger.tip().model
        known = next((model.manifest.ids for model in self.models if model.id == tip), original.ids)
        wanted = set(samples)
        forget = {id_ for id_ in known if pseudonyms.of("sample", f"train {id_}") in wanted}
        shards, slices = int(recipe["shards"]), int(recipe["slices"])
        share, touched = visits_share(
            known, forget, shards=shards, slices=slices, epochs=int(recipe["epochs"]), seed=seeds[0]
        )
        on = f"the training of the original, of which {touched} of {counted(shards, 'shard')} would be repeated in part"
        return self._cost("sisa", share * original.seconds, on)

    @cached_property
    def references(self) -> Cost:
        """The references that the next audit would train first."""
        wanted = self.project.config.references
        records = [
            read_sealed_json(path)["seconds"] for path in self.project.workspace.glob("references/member-*.json")
        ]
        missing = max(wanted - len(records), 0)
        what = f"references, {missing} missing of {wanted}"
        if not wanted or (not missing and not records):
            return Cost(what=what, measured_on="no audits are planned")
        if not records:
            return Cost(what=what)
        return self._cost(what, missing * median(records), counted(len(records), "reference") + " that are there")

    @cached_property
    def audit(self) -> Cost:
        """An audit, with what had to be trained for it."""
        paths = sorted(self.project.workspace.glob("requests/*/results.json"))
        seconds = [float(read_json(path)["wall_seconds"]) for path in paths]
        if not seconds:
            return Cost(what="audit")
        return self._cost("audit", median(seconds), counted(len(seconds), "audit") + ", with the models each trained")

    def batches(self, together: int) -> tuple[Cost, ...]:
        """A whole batch, from when a worker began to when its outcome was served; and the part of a request."""
        ledger, seconds = self.project.ledger, list[float]()
        for batch in dict.fromkeys(promotion.batch for promotion in ledger.promotions(LATEST) if promotion.batch):
            begun, served = ledger.of_batch(batch, "started"), ledger.of_batch(batch, "promoted")
            if begun and served:
                seconds.append(served[0].time - begun[0].time)
        alone = "a whole batch"
        shared = f"each of {counted(together, 'request')} in one batch"
        if not seconds:
            return tuple(Cost(what=what) for what in ([alone, shared] if together > 1 else [alone]))
        on = f"{counted(len(seconds), 'batch')}, from begin to served"
        costs = [self._cost(alone, median(seconds), on)]
        if together > 1:
            costs.append(self._cost(shared, median(seconds) / together, f"{on}; divided by {together}"))
        return tuple(costs)


def method_of(model: KeptModel) -> str:
    """The name of the method that made a model; of the original that of its training."""
    settings = model.manifest.settings
    described = settings.get("method") or settings.get("tuned_from")
    return str(described["name"]) if isinstance(described, dict) else model.manifest.role


def counted(count: int, noun: str) -> str:
    """A number and what it counts.

    >>> counted(1, "batch"), counted(2, "batch"), counted(2, "model")
    ('1 batch', '2 batches', '2 models')
    """
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def between(numbers: Sequence[int]) -> str:
    """The least and the greatest of some numbers, in words.

    >>> between([3, 12, 5]), between([4, 4])
    ('3 to 12', '4')
    """
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
