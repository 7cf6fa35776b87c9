"""The requests of a folder, in order, and everything that was made for each."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from obliviate._util.files import WORK, read_json, remove_leftovers, writable_folder
from obliviate._util.locks import held
from obliviate.data.ids import ids_sha256
from obliviate.errors import DataError, ObliviateError, WorkspaceError
from obliviate.requests.log import FILE, EventLog
from obliviate.requests.manifest import Manifest, read_manifest
from obliviate.requests.request import Parent, Request, RequestFolder

ORIGINAL: Final = "original"
WITHHELD: Final = "withheld, for it may name people"

T = TypeVar("T")


@dataclass(frozen=True)
class Slot:
    """The place of one model: its id, its file, beside which its manifest lies, and where making it may be resumed.

    `request` is the number of its request, None for the original.
    """

    id: str
    request: int | None
    path: Path
    work: Path

    @property
    def manifest(self) -> Path:
        """Where its manifest lies, which is written last: weights without one are those of an interrupted run."""
        return self.path.with_suffix(".json")


@dataclass(frozen=True)
class KeptModel:
    """A model that is there: its place, what it says of itself, and its label, which no other in the folder has."""

    slot: Slot
    manifest: Manifest
    label: str

    @property
    def id(self) -> str:
        """What it is addressed by."""
        return self.slot.id


@dataclass(frozen=True)
class Requests:
    """The requests below `folder`, which all go back to one original model.

    Everything that writes there does so while it holds the folder (`held`), and is crash-safe: every file appears as a
    whole, in an order in which each rests on those before, and what a killed process left is cleared away by the next.
    """

    folder: Path

    # ------------------------------------------------------------------------------------------- what was asked

    @property
    def all(self) -> list[Request]:
        """Every request, in order; raises WorkspaceError for a damaged or foreign file, or one that is missing."""
        requests: list[Request] = []
        while (path := self.at(len(requests) + 1).request).exists():
            requests.append(Request.read(path, requests))
        later = sorted(path.parent.name for path in (self.folder / "requests").glob("*/request.json"))[len(requests) :]
        if later:
            raise WorkspaceError(
                f"expected {self.at(len(requests) + 1).request} before request {later[0]}, got none; "
                "restore the requests as they were"
            )
        return requests

    def at(self, number: int) -> RequestFolder:
        """The folder of the request of a number, whether it is there or not."""
        return RequestFolder(self.folder / "requests" / f"{number:04d}")

    def numbered(self, number: int | None = None) -> Request:
        """The request of a number, None the last; raises WorkspaceError where there is none."""
        requests = self.all
        if not requests:
            raise WorkspaceError(f"expected a forget set in {self.folder}, got none; choose one with --forget")
        number = len(requests) if number is None else number
        if not 1 <= number <= len(requests):
            raise WorkspaceError(
                f"expected a request of {self.folder}, from 1 to {len(requests)}, got {number}; name one of them, or "
                "make the next one with --forget and --after"
            )
        return requests[number - 1]

    def begins(self, after: str | None) -> tuple[int, Parent | None]:
        """The number of the request that begins from the model of this id, and the model.

        The beginning of an id will do, where it is that of one model only. Raises WorkspaceError where there is no such
        model, or where that request began from another.
        """
        if after is None:
            return 1, None
        served = self._addressed(after)
        assert served.slot.request is not None
        return self._continued(served.slot.request + 1, served)

    def continuing(self, number: int, weights_sha256: str) -> Parent | None:
        """The model with these weights that the request of a number begins from, None for the first request.

        Raises WorkspaceError where none of the request before has them, or where that request began from another.
        """
        if number == 1:
            return None
        for model in self.models(number - 1):
            if model.manifest.weights_sha256 == weights_sha256:
                return self._continued(number, model)[1]
        raise WorkspaceError(
            f"expected a model of request {number - 1} of {self.folder} to go on from, got none with the weights of "
            "the model that serves; give all requests of a model the same folder"
        )

    def _continued(self, number: int, served: KeptModel) -> tuple[int, Parent]:
        parent = Parent(served.id, served.label, served.manifest.weights_sha256)
        if number <= len(self.all):
            origin = self.numbered(number).after
            assert origin is not None
            if origin.weights_sha256 != parent.weights_sha256:
                raise WorkspaceError(
                    f"expected request {number} of {self.folder} to go on from {origin.id}, as it has from the "
                    f"start, got {parent.id}; a folder has one model that serves: begin in a new folder to try another"
                )
        return number, parent

    def _addressed(self, text: str) -> KeptModel:
        """The one model, other than the original, whose id is this text or begins with it."""
        models = [model for model in self.models() if model.slot.request is not None]
        named = [model for model in models if model.id == text] or [
            model for model in models if text and model.id.startswith(text)
        ]
        if len(named) == 1:
            return named[0]
        ids = ", ".join(model.id for model in named or models) or "there is none"
        problem = f"{text!r}, with which {len(named)} of them begin; write more of the id" if named else f"{text!r}"
        raise WorkspaceError(
            f"expected the id of an unlearned model of {self.folder} to go on from ({ids}), got {problem}"
            + ("" if named else "; name one of them with --after")
        )

    def refuse_other(self, number: int, ids: Sequence[str]) -> None:
        """Refuse other ids than those of a request that is there; raises WorkspaceError."""
        if sorted(self.numbered(number).ids) != sorted(ids):
            raise WorkspaceError(
                f"expected the forget set that {self.folder} has had from the start, got another; begin in a new "
                "folder, leave out --forget, or go on from an unlearned model with --after"
                if number == 1
                else f"expected the forget set that request {number} of {self.folder} has had from the start, got "
                "another; leave out --forget, or go on from a model of that request with --after"
            )

    def ask(self, request: Request) -> Request:
        """Keep a request, or find it as it is already; raises WorkspaceError where it is there with other ids."""
        with self.held():
            earlier = self.all
            if request.number <= len(earlier):
                self.refuse_other(request.number, request.ids)
                return earlier[request.number - 1]
            if request.number != len(earlier) + 1:
                raise WorkspaceError(
                    f"expected request {len(earlier) + 1} of {self.folder} next, got {request.number}; give all "
                    "requests of a model the same folder"
                )
            request.write(self.at(request.number).request, earlier)
            self._log_request(request)
            return request

    @contextmanager
    def attempt(self, *, private: bool = False) -> Iterator[None]:
        """Hold the folder, and log what is refused; a request that was asked for and came to nothing is taken back.

        Its number is free again then, and the log says that it was asked for and why it was refused. Of a `private`
        one, and of what is wrong with names or conditions (DataError), it has the kind of the error alone, whose words
        may name people, of whom the data need not even know.
        """
        with self.held():
            before = len(self.all)
            try:
                yield
            except ObliviateError as error:
                came_to_nothing = [
                    request.number for request in self.all[before:] if not self.models(request.number)
                ]  # one at most: each attempt is for one request
                for number in came_to_nothing:
                    self._remove(number)
                request = {"request": came_to_nothing[0]} if came_to_nothing else {}
                words = WITHHELD if private or isinstance(error, DataError) else str(error)
                self.log.append("refused", **request, error=type(error).__name__, message=words)
                raise

    def _remove(self, number: int) -> None:
        place = self.at(number)
        place.request.unlink()  # from here on there is no such request; a crash leaves the rest to the next command
        shutil.rmtree(place.path)
        _remove_if_empty(place.path.parent)

    # ------------------------------------------------------------------------------------------- what was made

    def slot(self, name: str, request: int | None) -> Slot:
        """The place of a model of a request, by a name that tells it from the others; of the original for None."""
        if request is None:
            path = self.folder / "models" / f"{ORIGINAL}.safetensors"
            return Slot(ORIGINAL, None, path, self.folder / WORK / ORIGINAL)
        place, id_ = self.at(request), f"{request}-{name}"
        return Slot(id_, request, place.models / f"{id_}.safetensors", place.work / id_)

    def models(self, request: int | None = None) -> list[KeptModel]:
        """The models of a request, or all: the original, then those of every request, in the order of their making.

        A label that is there already gets a number.
        """
        kept = [(slot, read_manifest(slot.path)) for slot in self._slots()]
        kept.sort(key=lambda model: (model[0].request or 0, model[1].number))
        labels, models = Counter[str](), []
        for slot, manifest in kept:
            labels[manifest.label] += 1
            again = labels[manifest.label]
            models.append(KeptModel(slot, manifest, manifest.label if again == 1 else f"{manifest.label} #{again}"))
        return models if request is None else [model for model in models if model.slot.request == request]

    def _slots(self) -> list[Slot]:
        """The places of all models that are there, in the order of their names."""
        original = self.slot(ORIGINAL, None)
        slots = [original] if original.manifest.exists() else []
        for manifest in sorted((self.folder / "requests").glob("*/models/*.json")):
            folder = manifest.parents[1]
            if folder.name.isdecimal():
                path = manifest.with_suffix(".safetensors")
                slots.append(Slot(path.stem, int(folder.name), path, folder / WORK / path.stem))
        return slots

    def served(self, number: int) -> KeptModel:
        """The unlearned model that a later request begins from; raises WorkspaceError where it is not there."""
        parent = self.numbered(number).after
        assert parent is not None
        for model in self.models(number - 1):
            if model.manifest.weights_sha256 == parent.weights_sha256:
                self.refuse_contradiction(model)
                return model
        raise WorkspaceError(
            f"expected the model {parent.id} that request {number} began from, got none with its weights in "
            f"{self.at(number - 1).models}; put it back there"
        )

    def refuse_contradiction(self, model: KeptModel, request: int | None = None) -> None:
        """Refuse a model that by its manifest is not of its request; raises WorkspaceError, which names the model.

        The original has seen every sample of the `request`; all others were made for just the samples of theirs, and
        have seen none of them, nor of those of the requests before.
        """
        manifest, original = model.manifest, model.slot.request is None
        number = request if model.slot.request is None else model.slot.request
        asked = self.numbered(number)
        forgotten = set(asked.ids).union(*(earlier.ids for earlier in self.all[: asked.number]))
        seen = set(manifest.ids)
        contradiction = ""
        if original:
            if missing := forgotten - seen:
                contradiction = f"it was not trained on {len(missing)} of them"
        elif manifest.settings.get("forget_sha256") != ids_sha256(asked.ids):
            contradiction = "it was made for others"
        elif again := forgotten & seen:
            contradiction = f"it was trained on {len(again)} of them"
        if contradiction:
            raise WorkspaceError(
                f"expected the model {model.label} to be one for the samples of request {asked.number} of "
                f"{self.folder}, got a manifest that says that {contradiction}; restore the request, or remove the "
                f"model from {model.slot.path.parent} and make it again"
            )

    def once(
        self, slot: Slot, make: Callable[[Path], T], *, save: Callable[[T, int], object], read: Callable[[], T]
    ) -> T:
        """The model of a place: read back, or made now in a folder where it can be resumed, saved, and logged.

        `save` is given the model and its place among all, and writes its manifest last. What `make` left in its folder
        stays after an interrupt alone: a model that is refused would be refused again.
        """
        with self.held():
            if slot.manifest.exists():
                return read()
            try:
                model = make(slot.work)
            except ObliviateError:
                _discard(slot.work)
                raise
            save(model, 1 + max((read_manifest(other.path).number for other in self._slots()), default=0))
            self._log_model(slot)
            _discard(slot.work)
            return model

    # ------------------------------------------------------------------------------------------- what happened

    @property
    def log(self) -> EventLog:
        """What happened, in order."""
        return EventLog(self.folder / FILE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this thread, which may do so already.

        Whoever holds it first clears away what killed processes left, and enters in the log what they had no time to.
        Raises WorkspaceError, which says who holds the folder, where that is another process or thread.
        """
        writable_folder(self.folder)
        with held(self.folder) as first:
            if first:
                self._sweep()
                self._catch_up()
            yield

    def log_audit(self, number: int) -> None:
        """Say that a request was audited, with the hash of the results."""
        self.log.append("audited", request=number, results_sha256=self._results_sha256(number))

    def _log_request(self, request: Request) -> None:
        after = {} if request.after is None else {"after": request.after.id}
        facts = {"rule": request.rule, "samples": len(request.ids), "ids_sha256": ids_sha256(request.ids), **after}
        self.log.append("asked", request=request.number, **facts)

    def _log_model(self, slot: Slot) -> None:
        manifest = read_manifest(slot.path)
        request = {} if slot.request is None else {"request": slot.request}
        facts = {"model": slot.id, "label": manifest.label, "weights_sha256": manifest.weights_sha256}
        self.log.append("made", **request, **facts)

    def _results_sha256(self, number: int) -> str | None:
        """The hash in the results of a request; None where there are none, or they are damaged, as readers will say."""
        try:
            return read_json(self.at(number).results).get("sha256")
        except WorkspaceError:
            return None

    def _sweep(self) -> None:
        """Remove what killed processes left, but not what unfinished models need to go on."""
        for path in sorted((self.folder / "requests").glob("[0-9]*")):
            place = RequestFolder(path)
            # With models in it, a request was lost, which `all` says.
            if not place.request.exists() and not any(place.models.glob("*.json")):
                shutil.rmtree(path)
        _remove_if_empty(self.folder / "requests")
        written = [self.folder, self.folder / "models", *(self.folder / "requests").glob("[0-9]*")]
        for folder in [*written, *(RequestFolder(path).models for path in written[2:])]:
            if folder.is_dir():
                remove_leftovers(folder)
        for slot in self._slots():
            _discard(slot.work)

    def _catch_up(self) -> None:
        """Enter what is there and not in the log, because a process was killed between the one and the other."""
        events = self.log.events
        asked = {(event.facts["request"], event.facts["ids_sha256"]) for event in events if event.kind == "asked"}
        logged = {event.facts["model"] for event in events if event.kind == "made"}
        audited = {event.facts["request"]: event.facts["results_sha256"] for event in events if event.kind == "audited"}
        requests = self.all
        for request in requests:
            if (request.number, ids_sha256(request.ids)) not in asked:
                self._log_request(request)
        for slot in self._slots():
            if slot.id not in logged:
                self._log_model(slot)
        for request in requests:
            digest = self._results_sha256(request.number)
            if digest is not None and audited.get(request.number) != digest:
                self.log_audit(request.number)


def _discard(work: Path) -> None:
    """Remove the folder of one run, which is not there if nothing was kept, and the one above it if it is empty."""
    if work.exists():
        shutil.rmtree(work)
    _remove_if_empty(work.parent)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # others are in the folder, or it is not there
        folder.rmdir()
