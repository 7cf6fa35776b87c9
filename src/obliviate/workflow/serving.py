"""Many requests on one model: each begins from the model that the last one left, and none sees what is forgotten."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from obliviate.data.history import History
from obliviate.data.ids import ids_sha256
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import ObliviateError, WorkspaceError
from obliviate.methods.amun import SUFFIX
from obliviate.methods.base import Method, settle
from obliviate.task import Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.identity import architecture_sha256, model_sha256, task_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, silent
from obliviate.types import Ids, SampleId
from obliviate.workflow.models import Trained, read_into, save
from obliviate.workflow.unlearning import unlearn


@dataclass(frozen=True, eq=False)
class Serving:
    """The model that serves, and the history of what it was trained on and made to forget; `forget` makes the next.

    `Serving.of` begins one. Every request works on a copy, so that earlier ones stay what they are.
    """

    made: Trained
    history: History

    @classmethod
    def of(cls, model: Trained | nn.Module, train: Samples, *, reference: Samples | None = None) -> Serving:
        """Begin with a model that was trained on `train`; `reference` holds unseen samples, for methods that need any.

        Raises DataError where the reference set shares ids with the training samples.
        """
        made = model if isinstance(model, Trained) else Trained.given(model)
        return cls(made, History(train, reference))

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        return self.made.model

    @property
    def forgotten(self) -> Ids:
        """Every id that was forgotten so far."""
        return self.history.forgotten

    @property
    def requests(self) -> int:
        """How many requests were served."""
        return len(self.history.requests)

    @property
    def last(self) -> Split:
        """The split of the last request, which is what its audit is of; an IndexError without any."""
        return self.history.before(self.requests).split(self.history.requests[-1])

    def forget(
        self,
        ids: Iterable[SampleId] | Ids,
        method: Method,
        task: Task,
        *,
        recipe: Recipe | None = None,
        seed: int = 0,
        retain: bool = True,
        folder: Path | None = None,
        checkpoints: Path | None = None,
        progress: Progress = silent,
        name: str = "",
    ) -> Serving:
        """Make a copy of the model forget these ids, which it still remembers, as `unlearn` does.

        `retain=False` hides the samples that remain. What the method brings along of samples that were forgotten
        before, such as adversarial examples found on the first model, is taken away from it. Under `folder` every
        request has a folder of its own, where it resumes after an interruption, and where only its model stays in the
        end: what was computed from the forgotten samples on the way is deleted.

        Raises DataError, before any work, for ids that are unknown or were forgotten before, and where none would
        remain; and whatever `unlearn` raises.
        """
        split = self.history.split(ids)
        asked = split if retain else split.without_retain()
        method = without_forgotten(method, self.forgotten)

        def make(work: Path | None) -> Trained:
            return unlearn(
                self.model,
                asked,
                method,
                task,
                recipe=recipe,
                seed=seed,
                folder=work,
                checkpoints=checkpoints,
                progress=progress,
                name=name,
            )

        if folder is None:
            made = make(None)
        else:
            own = folder / f"{self.requests + 1:04d}-{method.name}-{self._identity(asked, method, task, recipe, seed)}"
            path, work = own / "model.safetensors", own / "work"
            seen = [] if asked.retain is None else asked.retain.ids.tolist()
            if path.with_suffix(".json").exists():
                made, manifest = read_into(path, copy.deepcopy(self.model))
                if (manifest.ids, manifest.settings.get("forget_sha256")) != (seen, ids_sha256(asked.forget.ids)):
                    raise WorkspaceError(
                        f"expected the model of this request, got one that was made for other samples in {path}; "
                        f"remove {own} to make it again"
                    )
            else:
                try:
                    made = make(work)
                except ObliviateError:  # it would come again: nothing here is worth going on with
                    shutil.rmtree(own, ignore_errors=True)
                    raise
                data = "" if asked.retain is None else asked.retain.sha256
                told = {"forget_sha256": ids_sha256(asked.forget.ids)}
                number = self.requests + 1
                save(path, made, recipe, data_sha256=data, ids=seen, settings=told, number=number)
            shutil.rmtree(work, ignore_errors=True)
        return Serving(made, self.history.after(split.forget.ids))

    def _identity(self, asked: Split, method: Method, task: Task, recipe: Recipe | None, seed: int) -> str:
        """Everything that the outcome of a request depends on, as a short name."""
        sets = [None if one is None else one.sha256 for one in (asked.forget, asked.retain, asked.reference)]
        made_of = [weights_sha256(self.model), model_sha256(self.model, asked.forget)]
        made_of.append(task_sha256(task, self.model, asked.forget))
        if recipe is not None:
            settings = {key: value for key, value in recipe.to_dict().items() if key != "model"}
            made_of += [json.dumps(settings, sort_keys=True), architecture_sha256(recipe, asked.forget)]
        facts = (repr(settle(method, asked)), seed, *sets, *made_of)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:10]


def without_forgotten(method: Method, ids: Ids) -> Method:
    """Take from the samples that a method brings along those with these ids, and the examples made from them.

    Nothing of them is read for that; a method that brings no samples along is returned as it is.
    """
    if not len(ids) or not dataclasses.is_dataclass(method):
        return method
    gone = np.concatenate([ids, np.char.add(ids, SUFFIX)])
    fields: dict[str, Any] = {one.name: getattr(method, one.name) for one in dataclasses.fields(method)}
    kept = {name: one.at(~np.isin(one.ids, gone)) for name, one in fields.items() if isinstance(one, Samples)}
    return dataclasses.replace(method, **kept) if kept else method
