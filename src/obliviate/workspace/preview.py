"""What a request would forget and how, before any work."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from obliviate.audit.controls import outlook, planned_resolution
from obliviate.data.erased import erased_ids
from obliviate.data.predicate import plain
from obliviate.data.rules import Among, Chosen, class_name
from obliviate.data.split import Split
from obliviate.methods.base import Method, settle
from obliviate.references.plan import check_count
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.workflow import check_request, outline
from obliviate.workspace.elsewhere import Elsewhere

FIRST: Final = 10  # samples and groups that are shown
ERASED: Final = "(erased)"


def preview(
    chosen: Chosen,
    split: Split,
    elsewhere: Elsewhere,
    among: Among,
    method: Method,
    task: Task,
    recipe: Recipe,
    *,
    unseen: int,
    tune: int = 0,
    teachers: int = 0,
) -> dict[str, Any]:
    """Describe a request in JSON values, after the checks that come before any work.

    "samples" are the first ones, each with its id, class, owner and what the rule found out; "classes" and "owners" are
    the groups with most samples to forget, each with how many it has; a key is absent where the data have none. "asked"
    is what became of every name of a list (`data.lookup.Entry`). "copies" are the ids of retained copies, "unseen"
    numbers of test and holdout samples of owners who are forgotten; "resolution" is about what margin an audit beside
    `unseen` samples will resolve, in points of AUC, and "outlook" a sentence where that can acquit nobody. "tuning"
    says what `tune` trials and so many `teachers` would do, "" without trials. "notes" tell of copies and of such
    owners in sentences. Raises MethodError, DataError and RecipeError as `workflow.unlearn` does before any work.
    """
    # The folder trains teachers before it calls a method that needs some.
    run = Run(task, recipe=recipe if recipe.trainable else None)
    check_request(method, split, run, planned=frozenset({"teachers"}))
    if teachers:
        check_count(teachers)
    # Where the recipe does not tell rates, they are found from the model, which takes work.
    settled = settle(method, split, Scale.of(recipe)) if Scale.is_known_of(recipe) else method
    tuning = outline(settled, split, tune, teachers=teachers) if tune else ""
    known = split.forget.ids[~np.isin(split.forget.ids, erased_ids(split.forget))]
    places = among.train.places(known).numpy()
    groups: dict[str, np.ndarray] = {}
    labels = among.train.targets.numpy()
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        groups["class"] = np.array([class_name(int(label), among.classes) for label in labels], dtype=np.str_)
    if among.owner is not None:
        groups["owner"] = plain(among.owners).astype(np.str_)
    place_of = dict(zip(known.tolist(), places.tolist(), strict=True))
    samples = [
        {"id": name}
        | {kind: str(values[place_of[name]]) if name in place_of else ERASED for kind, values in groups.items()}
        | {score: float(values[row]) for score, values in chosen.scores.items() if row < len(values)}
        for row, name in enumerate(split.forget.ids[:FIRST].tolist())
    ]
    plural = {"class": "classes", "owner": "owners"}
    return {
        "rule": chosen.rule,
        "forget": len(split.forget),
        "train": len(split.forget) + len(split.kept) if split.retain is not None else len(among.train),
        "ids": split.forget.ids.tolist(),
        **({"asked": [dict(entry) for entry in chosen.asked]} if chosen.asked else {}),
        "samples": samples,
        **{plural[name]: _counted(values, places) for name, values in groups.items()},
        "copies": elsewhere.copies.tolist(),
        "unseen": {"test": elsewhere.test, "holdout": elsewhere.holdout},
        "resolution": 100 * planned_resolution(len(split.forget), unseen),
        "outlook": outlook(len(split.forget), unseen),
        "notes": elsewhere.notes,
        "method": repr(settled),
        "exact": method.exact,
        "needs": sorted(method.needs),
        "tuning": tuning,
    }


def _counted(values: np.ndarray, places: np.ndarray) -> dict[str, Any]:
    """How many groups are asked for, and the largest of them: the group, how many to forget, and of how many."""
    groups, counts = np.unique(values[places], return_counts=True)
    largest = np.argsort(-counts, kind="stable")[:FIRST]
    return {
        "number": len(groups),
        "first": [
            {"value": str(groups[place]), "forget": int(counts[place]), "of": int((values == groups[place]).sum())}
            for place in largest
        ],
    }
