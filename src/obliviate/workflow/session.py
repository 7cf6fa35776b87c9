"""Many requests on one model: each begins from the model that the last one left, and none sees what is forgotten."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from obliviate.data.history import History
from obliviate.data.ids import ids_sha256
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.amun import SUFFIX
from obliviate.methods.base import Method, settle
from obliviate.references.pool import ReferencePool
from obliviate.requests import Request, Requests
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.identity import architecture_sha256, model_sha256, task_sha256
from obliviate.training.progress import Progress, silent
from obliviate.training.run import Run
from obliviate.training.teachers import Teachers
from obliviate.types import Ids, SampleId
from obliviate.workflow.keeping import ModelFiles
from obliviate.workflow.models import TrainedModel
from obliviate.workflow.unlearning import kept, unlearn


@dataclass(frozen=True, eq=False)
class Session:
    """The model that serves, and the history of what it was trained on and made to forget; `forget` makes the next.

    `Session.of` begins one. Every request works on a copy, so that earlier ones stay what they are.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> original = ob.train(experiment)
    >>> session = ob.Session.of(original, data.train)
    >>> for ids in (data.train.ids[:5], data.train.ids[5:9]):
    ...     session = session.forget(ids, ob.FineTune(epochs=1))
    >>> session.requests, len(session.forgotten)
    (2, 9)
    """

    trained: TrainedModel
    history: History

    @classmethod
    def of(cls, original: TrainedModel, train: Samples, *, holdout: Samples | None = None) -> Session:
        """Begin with a model that was trained on `train`; `holdout` holds unseen samples, for methods that need any.

        Raises DataError where the holdout set shares ids with the training samples.
        """
        return cls(original, History(train, holdout))

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        return self.trained.model

    @property
    def forgotten(self) -> Ids:
        """Every id that was forgotten so far."""
        return self.history.forgotten

    @property
    def requests(self) -> int:
        """How many requests were served."""
        return len(self.history.requests)

    def erased(self) -> Session:
        """The same model with a history that holds no forgotten sample any more, nor a holdout set."""
        return Session(self.trained, self.history.erased())

    @property
    def last(self) -> Split:
        """The split of the last request, which is what its audit is of; an IndexError without any."""
        return self.history.before(self.requests).split(self.history.requests[-1])

    def forget(
        self,
        ids: Iterable[SampleId] | Ids,
        method: Method,
        *,
        seed: int = 0,
        retain: bool = True,
        folder: Path | None = None,
        progress: Progress = silent,
        name: str = "",
        teachers: ReferencePool | Teachers | None = None,
    ) -> Session:
        """Make a copy of the model forget these ids, which it still remembers, as `unlearn` does.

        `retain=False` hides the samples that remain. What the method brings along of samples that were forgotten
        before, such as adversarial examples found on the first model, is taken away from it. Under `folder`, the same
        for all requests to one model, every request has a folder of its own (`requests`), where it resumes after an
        interruption, and where only its models stay in the end: what was computed from the forgotten samples on the way
        is deleted.

        Raises DataError, before any work, for ids that are unknown or were forgotten before, and where none would
        remain; WorkspaceError where the folder has another request of this number, or somebody else works there; and
        whatever `unlearn` raises.
        """
        split = self.history.split(ids)
        request = split if retain else split.without_retain()
        method = without_forgotten(method, self.forgotten)

        def make(work: Path | None) -> TrainedModel:
            return unlearn(
                self.trained, request, method, seed=seed, folder=work, progress=progress, teachers=teachers
            ).named(name)

        if folder is None:
            trained = make(None)
        else:
            requests, number = Requests(folder), self.requests + 1
            identity = self._identity(request, method, seed, teachers)
            names = request.forget.ids.tolist()
            with requests.attempt():
                parent = requests.continuing(number, weights_sha256(self.model))
                requests.ask(Request(number, "ids", names, parent))
                files = ModelFiles(
                    requests,
                    self.trained.task,
                    self.trained.recipe,
                    "" if request.retain is None else request.retain.sha256,
                    lambda: copy.deepcopy(self.model),
                    self.trained.checkpoints,
                )
                trained = files.once(
                    requests.slot(f"{method.name}-{identity}", number),
                    make,
                    ids=[] if request.retain is None else request.retain.ids.tolist(),
                    settings={"request": number, "forget_sha256": ids_sha256(names)},
                )
        return Session(trained, self.history.after(split.forget.ids))

    def _identity(self, request: Split, method: Method, seed: int, teachers: ReferencePool | Teachers | None) -> str:
        """Everything that the outcome of a request depends on, as a short name."""
        task, recipe = self.trained.task, self.trained.recipe
        sets = [None if part is None else part.sha256 for part in (request.forget, request.retain, request.holdout)]
        ingredients = [weights_sha256(self.model), model_sha256(self.model, request.forget)]
        ingredients.append(task_sha256(task, self.model, request.forget))
        if recipe is not None:
            settings = {key: value for key, value in recipe.to_dict().items() if key != "model"}
            ingredients += [json.dumps(settings, sort_keys=True), architecture_sha256(recipe, request.forget)]
        if teachers is not None:
            ingredients.append(f"{len(teachers)} teachers {teachers.fingerprint}")
        scale = partial(Run(task, seed=seed, recipe=recipe).scale, self.model, kept(request))
        facts = (repr(settle(method, request, scale)), seed, *sets, *ingredients)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:10]


def without_forgotten(method: Method, ids: Ids) -> Method:
    """Take from the samples that a method brings along those with these ids, and the examples made from them.

    Nothing of them is read for that; a method that brings no samples along is returned as it is.
    """
    if not len(ids) or not dataclasses.is_dataclass(method):
        return method
    forgotten_ids = np.concatenate([ids, np.char.add(ids, SUFFIX)])
    fields: dict[str, Any] = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    kept = {
        name: samples.at(~np.isin(samples.ids, forgotten_ids))
        for name, samples in fields.items()
        if isinstance(samples, Samples)
    }
    return dataclasses.replace(method, **kept) if kept else method
