"""The folder: what it was made from, what was asked for, and everything that was made since."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from obliviate import inspection, workflow
from obliviate.audit.inputs import AuditSettings, check_classes
from obliviate.data.rules import Chosen, Forget
from obliviate.data.sources import NAMED, Data, load
from obliviate.data.split import Split
from obliviate.errors import AuditError, ObliviateError, WorkspaceError
from obliviate.files import read_json, write_json
from obliviate.methods.base import Method
from obliviate.methods.base import to_dict as describe_method
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification, Task
from obliviate.training import checkpoint
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, silent
from obliviate.types import SampleId
from obliviate.workflow import Trained
from obliviate.workspace import evidence, scores
from obliviate.workspace import forget as forgetting
from obliviate.workspace.models import ModelFolder
from obliviate.workspace.origin import Origin
from obliviate.workspace.preview import preview
from obliviate.workspace.report import write_report

INSPECTION: Final = "obliviate.inspection/1"


@dataclass(frozen=True, eq=False)
class Workspace:
    """A folder with a trained model in it, what it was trained on and how, and everything made from it since."""

    folder: Path
    origin: Origin
    progress: Progress = silent

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        source: str,
        recipe: Recipe | Callable[[Data], Recipe],
        seed: int,
        progress: Progress = silent,
        train_size: int | None = None,
        reference_size: int | None = None,
        coins: int | None = None,
        noise: int | None = None,
        noise_scale: float | None = None,
    ) -> Workspace:
        """Begin in `folder`, or go on there if it holds the same data, recipe and seed; the data may have moved since.

        A function makes the recipe for the data (`recipe_for`). For `train_size`, `reference_size`, `coins`, `noise`
        and `noise_scale` see `Origin`.
        Raises WorkspaceError where the folder cannot be written to or holds something else.
        """
        if source not in NAMED and Path(source).exists():
            source = str(Path(source).absolute())  # the folder may be opened from elsewhere
        loaded = None
        if not isinstance(recipe, Recipe):
            loaded = load(source, train_size=train_size, reference_size=reference_size, seed=seed)
            recipe = recipe(loaded)
        origin = Origin(source, recipe, seed, train_size, reference_size, coins, noise, noise_scale, loaded)
        origin.write(folder)
        return cls(folder, origin, progress)

    @classmethod
    def open(cls, folder: Path, *, progress: Progress = silent) -> Workspace:
        """Go on in a folder that `obliviate train` or `obliviate demo` made."""
        return cls(folder, Origin.read(folder), progress)

    @property
    def recipe(self) -> Recipe:
        """How the models of this folder are trained."""
        return self.origin.recipe

    @property
    def seed(self) -> int:
        """The seed of every random choice."""
        return self.origin.seed

    @property
    def data(self) -> Data:
        """The data, read when they are first needed, with the training samples that the plan leaves and makes."""
        return self.origin.data

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.origin.task

    @property
    def results(self) -> Path:
        """Where `audit` puts its figures."""
        return self.folder / "results.json"

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return self.folder / "report.html"

    # ------------------------------------------------------------------------------------------- the forget set

    def choose(self, forget: Forget) -> Split:
        """Fix the forget set: ids, a rule, or its text, such as "random:SHARE" or "class:K" (docs/forget.md).

        A folder has one forget set: another one is refused with WorkspaceError.
        """
        chosen, split = self._resolved(forget)
        if not self.chosen:
            write_json(self._choice, {"rule": chosen.rule, "ids": split.forget.ids.tolist()})
        return split

    def preview(self, method: Method, *, forget: Forget | None = None, retain: bool = True) -> dict[str, Any]:
        """Tell what a method would be made to forget, and change nothing (`preview.preview`).

        Without `forget` it is what was chosen. Raises what `choose` and `unlearn` raise before any work.
        """
        if forget is None:
            split = self.split
            chosen = Chosen(split.forget.ids.tolist(), self.rule)
        else:
            chosen, split = self._resolved(forget)
        split = split if retain else split.without_retain()
        told = preview(chosen, split, self._here.among, method, self.task, self.recipe)
        return {"folder": str(self.folder), **told}

    def _resolved(self, forget: Forget) -> tuple[Chosen, Split]:
        chosen = forgetting.choose(forget, self._here)
        split = self._split(chosen.ids)
        if self.chosen and sorted(read_json(self._choice)["ids"]) != sorted(split.forget.ids.tolist()):
            raise WorkspaceError(
                f"expected the forget set that {self.folder} has had from the start, got another; "
                "begin in a new folder, or leave out --forget"
            )
        return chosen, split

    @property
    def _here(self) -> forgetting.Here:
        return forgetting.Here(self.folder, self.origin)

    @property
    def chosen(self) -> bool:
        """Whether the forget set has been chosen."""
        return self._choice.exists()

    def unchoose(self) -> None:
        """Take the choice of the forget set back; for a request that was refused before a model came of it."""
        self._choice.unlink(missing_ok=True)

    @property
    def rule(self) -> str:
        """How the forget set was chosen, in a few words."""
        return read_json(self._choice)["rule"]

    @property
    def split(self) -> Split:
        """The split by the forget set that was chosen; raises WorkspaceError where none was."""
        if not self.chosen:
            raise WorkspaceError(f"expected a forget set in {self.folder}, got none; choose one with --forget")
        return self._split(read_json(self._choice)["ids"])

    @property
    def _choice(self) -> Path:
        return self.folder / "forget.json"

    def _split(self, ids: Iterable[SampleId]) -> Split:
        return Split.of(self.data.train, forget=ids, reference=self.data.reference)

    # ------------------------------------------------------------------------------------------- models

    def train(self) -> Trained:
        """Train the original model, or read it back."""
        return self._kept.kept(
            "original",
            lambda work: workflow.train(
                self.recipe,
                self.data.train,
                self.task,
                seed=self.seed,
                folder=work,
                checkpoints=self._checkpoints,
                progress=self._said("original"),
            ),
            ids=self.data.train.ids.tolist(),
        )

    def unlearn(
        self,
        method: Method,
        *,
        forget: Forget | None = None,
        seed: int | None = None,
        retain: bool = True,
        name: str = "",
    ) -> Trained:
        """Make the original forget by a method, or read the outcome back.

        `forget` chooses what to forget (`choose`), if that was not done before; a choice for a request that is refused
        is taken back. `retain=False` hides the retain set from the method. The name defaults to the method's.
        """
        first = not self.chosen
        if forget is not None:
            self.choose(forget)
        try:
            return self._unlearned(method, seed=seed, retain=retain, name=name)
        except ObliviateError:
            if first:  # the folder is not bound to a request that came to nothing
                self.unchoose()
            raise

    def _unlearned(self, method: Method, *, seed: int | None, retain: bool, name: str) -> Trained:
        seed = self.seed if seed is None else seed
        split = self.split if retain else self.split.without_retain()
        name = name or (
            f"{method.name} (seed {seed})"
            if isinstance(method, Retrain)
            else method.name + ("" if retain else " (no retain set)")
        )
        original = self.train()
        weights = checkpoint.weights_sha256(original.model)
        request = f"{method!r} {seed} {retain} {sorted(split.forget.ids.tolist())} {weights}"
        identity = f"{method.name}-{hashlib.sha256(request.encode()).hexdigest()[:10]}"
        return self._kept.kept(
            identity,
            lambda work: workflow.unlearn(
                original.model,
                split,
                method,
                self.task,
                recipe=self.recipe,
                seed=seed,
                folder=work,
                checkpoints=self._checkpoints,
                progress=self._said(name),
                name=name,
            ),
            ids=self.split.kept.ids.tolist() if retain else [],
            settings={"method": describe_method(method), "retain": retain},
        )

    def retrained(self, count: int) -> list[Trained]:
        """Retrain without the forget set under `count` seeds, or read them back."""
        return [self.unlearn(Retrain(), seed=self.seed + 1 + one) for one in range(count)]

    def models(self) -> list[Trained]:
        """Every model of this folder: the original, then the others in the order of their making.

        A label that is there already gets a number.
        """
        return [made for made, _ in self._kept.entries()]

    @property
    def _kept(self) -> ModelFolder:
        return ModelFolder(self.folder, self.recipe, self.data.sha256)

    @property
    def _checkpoints(self) -> Path | None:
        return self.folder / "checkpoints" if self.recipe.sharded else None

    def _said(self, name: str) -> Progress:
        def progress(stage: str, done: float, total: float) -> None:
            self.progress(name if stage in {"train", name} else f"{name}: {stage}", done, total)

        return progress

    # ------------------------------------------------------------------------------------------- evidence

    def references(self, models: int = 16, *, workers: int | None = None, keep_weights: bool = True) -> ReferencePool:
        """Train the references that are missing, over training and test samples, and open all of them.

        They do not depend on the forget set, so they may be trained ahead of a request, and serve every later one.
        """
        return workflow.train_references(
            self.recipe,
            self.data.train,
            self.data.test,
            self.task,
            folder=self.folder / "references",
            models=models,
            seed=self.seed,
            workers=workers,
            keep_weights=keep_weights,
            progress=self.progress,
        )

    def audit(
        self,
        *,
        references: int = 16,
        retrained: int = 3,
        settings: AuditSettings | None = None,
        shadows: bool = False,
        workers: int | None = None,
        since: float | None = None,
        command: str | None = None,
        pictures: bool = True,
    ) -> dict[str, Any]:
        """Audit every model of this folder, and write `results.json` and `report.html`.

        Missing retrained models and references are trained first; with `retrained=0` the references are the yardstick,
        unless two retrained models or more are in the folder. With `shadows`, every reference is made to forget by the
        method of every unlearned model, for U-LiRA; which model that cannot be done for is told in "notes". `since` is
        when the work began (`time.monotonic()`), if that was before the audit; `command` is what a reader types to
        repeat it. `pictures` shows the most exposed forget samples in the report, where they are images.
        """
        evidence.check_counts(references=references, retrained=retrained)
        settings = settings or AuditSettings()
        workflow.check_margins(settings)
        since = time.monotonic() if since is None else since
        split = self.split
        if not retrained and isinstance(self.task, Classification):  # before references are trained in vain
            labels = (one.everything().y.cpu().numpy() for one in (split.forget, split.kept))
            check_classes(*labels, retrained=self._kept.count("retrained"))
        self.train()
        self.retrained(retrained)
        pool = self.references(references, workers=workers)
        unlearned, notes = {}, []
        if shadows:
            entries = self._kept.entries()
            unlearned, notes = evidence.make_shadows(entries, split, pool, self.origin, workers, self._said)
        self.progress("audit", 0, 1)
        models = self.models()
        examined = workflow.examine(
            models, split, self.data.test, pool, settings=settings, shadows=unlearned, task=self.task
        )
        values = workflow.describe(
            examined.result,
            split,
            self.data.test,
            pool,
            self.task,
            self.recipe,
            seed=self.seed,
            data_name=self.data.name,
            data_sha256=self.data.sha256,
            forget_rule=self.rule,
            wall_seconds=time.monotonic() - since,
            command=command,
            pictures=pictures,
            competition=examined.competition(),
        )
        tests, untested = self.origin.plan.tests(models, split, self.task)
        values |= tests
        values["notes"] = notes + untested
        scores.write(self.folder, examined)
        write_json(self.results, values)
        self.progress("audit", 1, 1)
        write_report(self.folder)
        return values

    def inspect(self, *, retrained: int = 3, epochs: int = 3, learning_rate: float | None = None) -> dict[str, Any]:
        """Look into every model of this folder (`inspection.inspect`), and write `inspection.json`.

        Missing retrained models are trained first; nothing else in the folder changes.
        """
        if retrained < 0:
            raise AuditError(f"expected 0 or more retrained models, got {retrained}; 3 is the default")
        inspection.check_settings(epochs, learning_rate)
        split = self.split
        self.train()
        self.retrained(retrained)
        found = inspection.inspect(
            self.models(),
            split,
            self.data.test,
            self.task,
            self.recipe,
            seed=self.seed,
            epochs=epochs,
            learning_rate=learning_rate,
            progress=self.progress,
        )
        values = {
            "schema": INSPECTION,
            "seed": self.seed,
            "data_sha256": self.data.sha256,
            "data": {
                "forget": len(split.forget),
                "train": len(self.data.train),
                "test": len(self.data.test),
                "forget_rule": self.rule,
            },
            **found.to_dict(),
        }
        write_json(self.folder / "inspection.json", values)
        return values
