"""What lies in a folder, and how it is read: its requests, the models of each, and the samples they were made for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from obliviate.data.erased import erased_ids, readable
from obliviate.data.history import History
from obliviate.data.ids import as_ids
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError, WorkspaceError
from obliviate.requests import KeptModel, Manifest, Requests
from obliviate.training.progress import Progress, silent
from obliviate.types import Ids, SampleId
from obliviate.workflow import TrainedModel
from obliviate.workflow.keeping import ModelFiles
from obliviate.workspace import forget as forgetting
from obliviate.workspace.elsewhere import Elsewhere, unseen_in_audit
from obliviate.workspace.origin import Origin


@dataclass(frozen=True, eq=False)
class Contents:
    """A folder, the experiment that is written in it, and where progress is reported."""

    folder: Path
    origin: Origin
    progress: Progress = silent
    _known: list[dict[Path, tuple[TrainedModel, Manifest]]] = field(default_factory=list, init=False, repr=False)
    """The models that the command at work has read, none between commands."""

    @property
    def requests(self) -> Requests:
        """The requests of the folder, and where everything that was made for them lies."""
        return Requests(self.folder)

    @property
    def files(self) -> ModelFiles:
        """The models of the folder as files."""
        origin = self.origin
        return ModelFiles(
            self.requests,
            origin.task,
            origin.recipe if origin.recipe.trainable else None,
            origin.data.sha256,
            lambda: origin.recipe.build(seed=0),
            self.checkpoints,
            self._known[0] if self._known else {},
        )

    @property
    def checkpoints(self) -> Path | None:
        """Where slice checkpoints are, None where the recipe has no shards."""
        return self.folder / "checkpoints" if self.origin.recipe.sharded else None

    # ------------------------------------------------------------------------------------------- samples

    def before(self, number: int) -> History:
        """What was trained on, and what was forgotten before the request of this number."""
        earlier = tuple(as_ids(request.ids, what="ids of a request") for request in self.requests.all[: number - 1])
        data = self.origin.data
        return History(data.erased.joined_to(data.train), data.holdout, earlier)

    def split(self, number: int, ids: Iterable[SampleId] | Ids) -> Split:
        """Split what a request of this number finds by the ids that it is for.

        Raises DataError as `History.split` does, and where rows were erased that would be retained.
        """
        split = self.before(number).split(ids)
        if len(left := erased_ids(split.kept)):
            raise DataError(
                "expected a request for all samples that the source no longer holds, got one that retains "
                f"{len(left):,} of them (first: {str(left[0])!r}); take them along, or forget them before by "
                "--forget erased"
            )
        return replace(split, retain=readable(split.kept))

    def split_of(self, request: int | None) -> Split:
        """The split of a request, None the last: samples of earlier ones are neither forgotten nor retained."""
        kept = self.requests.numbered(request)
        return self.split(kept.number, kept.ids)

    def elsewhere(self, number: int, split: Split) -> Elsewhere:
        """What a request does not reach: retained copies, and unseen samples of its people."""
        return Elsewhere.of(split, self.origin.data, [*self.before(number).forgotten, *split.forget.ids])

    def unseen(self, number: int) -> Samples:
        """The samples that an audit of a request takes for unseen."""
        forgotten = [*self.before(number).forgotten, *self.requests.numbered(number).ids]
        return unseen_in_audit(self.origin.data, forgotten)

    def context(self, number: int) -> forgetting.Context:
        """What the rules of a request may look at."""
        return forgetting.Context(self.folder, self.origin, number, self.before(number).forgotten)

    # ------------------------------------------------------------------------------------------- models

    def models(self) -> list[TrainedModel]:
        """Every model: the original, then the others in the order of their making."""
        return [self.files.read(kept) for kept in self.requests.models()]

    def addressed(self, text: str) -> KeptModel:
        """The one model whose id is this text or begins with it; raises WorkspaceError for none, and for several."""
        models = self.requests.models()
        named = [kept for kept in models if kept.id == text] or [kept for kept in models if kept.id.startswith(text)]
        if len(named) == 1 and text:
            return named[0]
        ids = ", ".join(kept.id for kept in named or models) or "none"
        raise WorkspaceError(
            f"expected the id of a model of {self.folder} ({ids}), got {text!r}; `obliviate status` lists them"
        )

    def compared(self, number: int) -> list[KeptModel]:
        """The models of one request: what it began from, then what came of it; none of them read yet.

        Raises WorkspaceError for one that by its manifest is not of the request.
        """
        store = self.requests
        of_request = store.models(number)
        if number > 1:
            begun_from = [store.served(number)]
        else:
            begun_from = [kept for kept in store.models() if kept.slot.request is None]
        for kept in [*begun_from, *of_request] if number == 1 else of_request:
            store.refuse_contradiction(kept, number)
        return [*begun_from, *of_request]

    def read(self, compared: list[KeptModel]) -> list[TrainedModel]:
        """Read what `compared` lists; what a request began from plays the part of the original."""
        first, *others = map(self.files.read, compared)
        return [replace(first, role="original"), *others]

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        """Read no model twice inside: what one step of a command has read is known to the next."""
        if self._known:  # a command within another
            yield
            return
        self._known.append({})
        try:
            yield
        finally:
            self._known.clear()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder inside, and read no model twice."""
        with self.requests.held(), self.reading_once():
            yield

    def progress_of(self, name: str) -> Progress:
        """Progress under the name of a model."""

        def progress(stage: str, done: float, total: float) -> None:
            self.progress(name if stage in {"train", name} else f"{name}: {stage}", done, total)

        return progress
