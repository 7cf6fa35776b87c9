"""What a plan stands on once its data are read: the experiment, the forget sets, and everything that has to be made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.amounts import read_amount
from obliviate.data.ids import ids_sha256
from obliviate.data.rules import Chosen, Rule, choose, random_ids
from obliviate.data.sources import Data, load_data
from obliviate.data.split import Split
from obliviate.errors import DataError, MethodError, ObliviateError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method
from obliviate.methods.sisa import SISA
from obliviate.plans.labels import mislabelled, of_classes
from obliviate.plans.plan import CHOSEN_BY_REFERENCES, RANDOM, WRONG, ForgetSets, Plan
from obliviate.plans.trials import Trial
from obliviate.references.pool import ReferencePool
from obliviate.task import task_of
from obliviate.training.class_weights import balanced_weights
from obliviate.training.defaults import recipe_for
from obliviate.training.identity import architecture_sha256, task_sha256
from obliviate.training.run import Run
from obliviate.workspace.elsewhere import unseen_in_audit

Kind = Literal["original", "retrained", "controls", "method"]
KINDS: Final[tuple[Kind, ...]] = ("original", "retrained", "controls", "method")
"""What is made, in the order in which one rests on another."""


@dataclass(frozen=True, eq=False)
class ForgetSet:
    """A forget set of a plan: what chose it, in the words of tables, the number of the draw, and what was chosen.

    `earlier` are the requests that were served before, one after the other, where it is a step of several: `chosen`
    holds their ids too.
    """

    rule: str
    draw: int
    chosen: Chosen
    earlier: tuple[tuple[str, ...], ...] = ()

    @property
    def requests(self) -> list[tuple[str, ...]]:
        """The ids of every request, in the order in which a model is asked to forget them."""
        gone = {id_ for ids in self.earlier for id_ in ids}
        return [*self.earlier, tuple(id_ for id_ in map(str, self.chosen.ids) if id_ not in gone)]


@dataclass(frozen=True)
class Cell:
    """One thing that is made, with a file of its own: a model that others share, or an audit.

    `id` is a hash of all that it is, behind a few words. `forget` is the place of its forget set, `repeat` the number
    of a retrained model, `trial` the place of a method; -1 where there is none. "controls" is the audit of the original
    and the retrained models, "method" that of a method beside them; `needs` are the models that these rest on.
    """

    id: str
    kind: Kind
    seed: int
    forget: int = -1
    repeat: int = -1
    trial: int = -1
    needs: tuple[str, ...] = ()

    def file(self, folder: Path) -> Path:
        """The file that is written last: with it, the cell is done."""
        return folder / ("models" if self.kind in {"original", "retrained"} else "cells") / f"{self.id}.json"


@dataclass(frozen=True, eq=False)
class Ground:
    """The data and the experiment of a plan; its seed is that of the data, and trainings have seeds of their own."""

    plan: Plan
    data: Data
    experiment: Experiment
    wrong: tuple[str, ...] = ()
    """The ids of the training samples whose labels the plan has made wrong."""

    @classmethod
    def of(cls, plan: Plan) -> Ground:
        """Read the data, and refuse, before any work, what does not go together; raises PlanError.

        Forget sets that references choose are not known yet, and checked when they are.
        """
        wrong: tuple[str, ...] = ()
        with plan.table.table("data").checked():
            data = load_data(
                plan.source, train_size=plan.train_size, holdout_size=plan.holdout_size, seed=plan.data_seed
            )
            if plan.wrong_labels is not None:
                data, wrong = mislabelled(data, plan.wrong_labels, seed=plan.data_seed)
        settings = dict(plan.recipe)
        with plan.table.table("recipe").checked():
            if settings.get("class_weights") == "balanced":
                settings["class_weights"] = balanced_weights(data.train.targets, data.classes)
            recipe = recipe_for(data, **settings)
            experiment = Experiment(task_of(data), recipe, data.train, data.test, data.holdout, plan.data_seed)
            workflow.check(experiment)
        ground = cls(plan, data, experiment, wrong)
        ground.check(ground.forget_sets(None))
        return ground

    def check(self, sets: Sequence[ForgetSet]) -> None:
        """Refuse methods that do not go with the data, or with one of the forget sets; raises PlanError."""
        run = Run(self.experiment.task, seed=self.plan.data_seed, recipe=self.experiment.recipe)
        for trial, table in zip(self.plan.trials, self.plan.table.tables("method"), strict=True):
            for forget in sets:
                with table.checked():
                    if isinstance(trial.method, SISA) and not self.experiment.recipe.sharded:
                        raise MethodError("expected a recipe with shards or slices for sisa, got one without; set them")
                    split, method = self.split(forget, trial), self.method(trial)
                    if len(forget.requests) > 1 and (trial.tune or trial.budget is not None or trial.unlabelled):
                        raise MethodError(
                            "expected one request for a method with tune, budget or unlabelled, got several steps; "
                            "leave out one of the two"
                        )
                    workflow.check_request(method, split, run, planned=frozenset({"teachers"}))
                    if trial.tune:
                        workflow.check_tuning(method, split, trial.tune)

    def forget_sets(self, pool: ReferencePool | None) -> list[ForgetSet]:
        """Every forget set; those that references choose only where there is a pool. Raises PlanError."""
        sets = []
        for asked, table in zip(self.plan.forget, self.plan.table.tables("forget"), strict=True):
            by_references = asked.rule.startswith(CHOSEN_BY_REFERENCES)
            for draw in range(asked.draws):
                seed = self.plan.data_seed if draw == 0 else derive(self.plan.data_seed, "forget set", draw)
                with table.checked("rule"):
                    if by_references:
                        rule = self._by_references(asked.rule, pool)
                        if pool is None:
                            continue
                    else:
                        rule = self._rule(asked)
                    chosen = choose(rule, self.data.among(seed=seed))
                    self.experiment.split(chosen.ids)
                    unseen_in_audit(self.data, chosen.ids)
                    sets += _steps(asked, draw, chosen, seed)
        return sets

    def _rule(self, asked: ForgetSets) -> str | Rule:
        """The rule of forget sets, where it is not one that references follow."""
        if asked.rule == WRONG:
            return Rule(WRONG, lambda _: Chosen(self.wrong, "wrong labels", grouped=True))
        if asked.classes:
            share = float(asked.rule.removeprefix(RANDOM))
            return Rule(asked.title(), lambda among: Chosen(of_classes(among, asked.classes, share), asked.title()))
        return asked.rule

    def method(self, trial: Trial) -> Method:
        """The method of a trial, told which labels are kept from it."""
        if not trial.unlabelled:
            return trial.method
        ids = random_ids(self.data.train, trial.unlabelled, seed=derive(self.plan.data_seed, "unlabelled"))
        method: Any = trial.method
        return replace(method, unlabelled=tuple(ids.tolist()))

    def _by_references(self, text: str, pool: ReferencePool | None) -> Rule:
        name, _, amount = text.partition(":")
        rules = {"memorised": workflow.memorised, "mislabelled": workflow.mislabelled}
        return rules[name](read_amount(amount, rule=name), pool or _missing, self.experiment.task)

    def under(self, seed: int) -> Experiment:
        """The experiment under one of the training seeds."""
        return replace(self.experiment, seed=seed)

    def split(self, forget: ForgetSet, trial: Trial | None = None) -> Split:
        """The split of a forget set, as a method is given it."""
        whole = self.experiment.split(forget.chosen.ids)
        return whole if trial is None or trial.retain else whole.without_retain()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What every cell is made of, whatever its seed, its forget set and its method."""
        experiment = self.experiment
        recipe, task = experiment.recipe, experiment.task
        return {
            "data_sha256": self.data.sha256,
            "recipe": {key: value for key, value in recipe.to_dict().items() if key != "model"},
            "architecture_sha256": architecture_sha256(recipe, experiment.train),
            "task_sha256": task_sha256(task, recipe.build(seed=0), experiment.train),
        }

    @cached_property
    def judged_by(self) -> str:
        """What audits are made with besides models: references, and the settings of the audit."""
        settings = self.plan.audit
        attacks = [repr(attack) for attack in settings.attacks]
        facts = (attacks, settings.margin, settings.utility_margin, settings.confidence, settings.cheap_attacks)
        return repr((self.plan.references, self.plan.data_seed, self.plan.retrained, facts))

    def cells(self, sets: Sequence[ForgetSet]) -> list[Cell]:
        """Everything that is to be made for these forget sets, in an order in which each rests on those before."""
        return sorted(self._cells(sets), key=lambda cell: KINDS.index(cell.kind))

    def _cells(self, sets: Sequence[ForgetSet]) -> Iterator[Cell]:
        plan, name = self.plan, partial(_named, repr(sorted(self.identity.items())))
        for seed in plan.seeds:
            original = Cell(name(f"original-{seed}", "original", seed), "original", seed)
            yield original
            for place, forget in enumerate(sets):
                ids = ids_sha256(sorted(forget.chosen.ids))
                words = f"{seed}-{_word(forget.rule)}-{forget.draw + 1}"
                named = [name(f"retrained-{words}-{k + 1}", "retrained", ids, seed, k) for k in range(plan.retrained)]
                retrained = [
                    Cell(id_, "retrained", seed, place, k, needs=(original.id,)) for k, id_ in enumerate(named)
                ]
                yield from retrained
                needs = (original.id, *(cell.id for cell in retrained))
                judged = (self.judged_by, ids, seed, forget.chosen.grouped)
                asked = (*judged, forget.earlier)
                yield Cell(name(f"controls-{words}", "controls", *judged), "controls", seed, place, needs=needs)
                for number, trial in enumerate(plan.trials):
                    id_ = name(f"{trial.method.name}-{words}", trial.facts, *asked)
                    yield Cell(id_, "method", seed, place, trial=number, needs=needs)

    def retraining_seed(self, cell: Cell) -> int:
        """The seed of a retrained model: another for every seed and number, so that seeds share none."""
        return derive(cell.seed, "retrained", cell.repeat)

    @property
    def teachers(self) -> int:
        """How many teachers the methods learn from, at most."""
        return max((trial.teachers for trial in self.plan.trials), default=0)


def _named(identity: str, words: str, *facts: object) -> str:
    digest = hashlib.sha256(repr((identity, facts)).encode()).hexdigest()
    return f"{words}-{digest[:10]}"


def _word(text: str) -> str:
    """A rule as a part of a file's name.

    >>> _word("class:T-shirt/top"), _word("random:0.1")
    ('class-T-shirt-top', 'random-0.1')
    """
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in text)[
        :40
    ]


def _steps(asked: ForgetSets, draw: int, chosen: Chosen, seed: int) -> list[ForgetSet]:
    """The set that was drawn, or what was forgotten after each of its steps; raises DataError for too many steps."""
    if asked.steps == 1:
        return [ForgetSet(asked.title(), draw, chosen)]
    if len(chosen.ids) < asked.steps:
        raise DataError(f"expected at most one request a sample, got {asked.steps} steps of {len(chosen.ids)} samples")
    order = np.random.default_rng(derive(seed, "steps")).permutation(np.array(chosen.ids, dtype=np.str_))
    requests = [tuple(part.tolist()) for part in np.array_split(order, asked.steps)]
    sets = []
    for step in range(asked.steps):
        so_far = [id_ for request in requests[: step + 1] for id_ in request]
        sets.append(ForgetSet(asked.title(step), draw, replace(chosen, ids=so_far), tuple(requests[:step])))
    return sets


def _missing() -> ReferencePool:
    raise ObliviateError("expected references, got none; they are trained before forget sets are chosen by them")
