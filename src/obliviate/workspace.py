"""One folder holds one story: data, recipe, forget set, models, references, results.

Every step keeps its outcome as a file and is skipped when the file is there, so an interrupted command is resumed by
running it again, and ends with the same weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from obliviate import inspection, methods, planned, workflow
from obliviate.audit.inputs import LEAST_REFERENCES, LEAST_RETRAINED, AuditSettings
from obliviate.data import sources
from obliviate.data.coins import Coins, toss
from obliviate.data.split import Split, class_ids, random_ids
from obliviate.errors import AuditError, DataError, MethodError, ObliviateError, TrainingError, WorkspaceError
from obliviate.files import writable_folder, write_atomically, write_json
from obliviate.methods.base import Method, settle
from obliviate.methods.base import to_dict as describe_method
from obliviate.methods.retrain import Retrain
from obliviate.references.plan import check_count
from obliviate.references.pool import ReferencePool
from obliviate.references.shadows import ShadowPool
from obliviate.report import html
from obliviate.task import Classification, Task
from obliviate.training import checkpoint
from obliviate.training.checkpoint import Manifest
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, silent
from obliviate.types import SampleId
from obliviate.workflow import Trained

FORMAT: Final = "obliviate.workspace/1"
INSPECTION: Final = "obliviate.inspection/1"


@dataclass(frozen=True, eq=False)
class Workspace:
    """A folder with a trained model in it, what it was trained on and how, and everything made from it since."""

    folder: Path
    source: str
    recipe: Recipe
    seed: int
    progress: Progress = silent
    train_size: int | None = None
    reference_size: int | None = None
    coins: int | None = None

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        source: str,
        recipe: Recipe,
        seed: int,
        progress: Progress = silent,
        train_size: int | None = None,
        reference_size: int | None = None,
        coins: int | None = None,
    ) -> Workspace:
        """Begin in `folder`, or go on there if it holds the same data, recipe and seed; the data may have moved since.

        `train_size` and `reference_size` draw a part of the training samples and an unseen reference set from them
        (see `sources.load`). With `coins`, that many of them get a fair coin, and the tails are not trained on: what
        the exact test of the audit needs (`data.coins.toss`).

        Raises WorkspaceError where the folder cannot be written to or holds something else.
        """
        if source != sources.EMBEDDED and Path(source).exists():
            source = str(Path(source).absolute())  # the folder may be opened from elsewhere
        workspace = cls(folder, source, recipe, seed, progress, train_size, reference_size, coins)
        facts = workspace._facts
        if (folder / "workspace.json").exists():
            there = _read(folder / "workspace.json")
            compared = [key for key in facts if key != "source"]  # what the data are is told by their hash
            if differing := sorted(key for key in compared if there.get(key) != facts[key]):
                raise WorkspaceError(
                    f"expected a new folder, or one with the same {', '.join(compared)}; got {folder} with another "
                    f"{', '.join(differing)}: choose another --out, or delete the folder"
                )
            if there.get("source") != source:
                writable_folder(folder)
                write_json(folder / "workspace.json", facts)
        else:
            if folder.is_dir() and (foreign := sorted(one.name for one in folder.iterdir())[:1]):
                raise WorkspaceError(
                    f"expected an empty or new folder, got {folder} that holds {foreign[0]}; choose another --out"
                )
            workflow.check(recipe, workspace.data.train, workspace.task, seed=seed)
            writable_folder(folder)
            write_json(folder / "workspace.json", facts)
        writable_folder(folder)
        workspace._keep_coins()
        return workspace

    @classmethod
    def open(cls, folder: Path, *, progress: Progress = silent) -> Workspace:
        """Go on in a folder that `obliviate train` or `obliviate demo` made."""
        path = folder / "workspace.json"
        if not path.exists():
            raise WorkspaceError(
                f"expected a folder made by `obliviate train` or `obliviate demo`, got {folder} without "
                "workspace.json; train there first"
            )
        facts = _read(path)
        if facts.get("format") != FORMAT:
            raise WorkspaceError(
                f"expected workspace.json of format {FORMAT}, got {facts.get('format')!r} in {folder}; "
                "use a folder that `obliviate train` or `obliviate demo` made"
            )
        writable_folder(folder)
        recipe, sizes = Recipe.from_dict(facts["recipe"]), (facts.get("train_size"), facts.get("reference_size"))
        source = facts["source"]
        if source != sources.EMBEDDED and not Path(source).exists():
            raise DataError(
                f"expected the data of {folder} in {source}, got no such path; put them back, or repeat "
                "`obliviate train` with the same options and --data where they are now"
            )
        workspace = cls(folder, source, recipe, facts["seed"], progress, *sizes, facts.get("coins"))
        if workspace.data.sha256 != facts["data_sha256"]:
            raise DataError(
                f"expected the data that {folder} was made with (sha256 {facts['data_sha256'][:12]}…), got "
                f"{workspace.data.sha256[:12]}…; restore {facts['source']}, or begin in a new folder"
            )
        workspace._keep_coins()
        return workspace

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "source": self.source,
            "train_size": self.train_size,
            "reference_size": self.reference_size,
            "coins": self.coins,
            "data_sha256": self.data.sha256,
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
        }

    @cached_property
    def _whole(self) -> sources.Data:
        """The data as they are loaded, the samples with tails included."""
        return sources.load(self.source, train_size=self.train_size, reference_size=self.reference_size, seed=self.seed)

    @cached_property
    def data(self) -> sources.Data:
        """The data, read when they are first needed, without the samples whose coins are tails."""
        if self.tossed is None:
            return self._whole
        return replace(self._whole, train=self._whole.train.without(self.tossed.tails))

    @cached_property
    def tossed(self) -> Coins | None:
        """How the coins fell, None where there are none."""
        return None if self.coins is None else toss(self._whole.train.ids, self.coins, self.seed)

    def _keep_coins(self) -> None:
        """Write down how the coins fell; raises WorkspaceError where that was another time otherwise."""
        if self.tossed is None:
            return
        path = self.folder / "coins.json"
        sides = {"heads": self.tossed.heads.tolist(), "tails": self.tossed.tails.tolist()}
        if not path.exists():
            write_json(path, sides)
        elif _read(path) != sides:
            raise WorkspaceError(
                f"expected the coins that {self.folder} was made with, got others in {path.name}; the file was "
                "edited, or another version of numpy draws other numbers: begin in a new folder"
            )

    @property
    def task(self) -> Task:
        """The task of the data."""
        return Classification(classes=self.data.classes)

    @property
    def results(self) -> Path:
        """Where `audit` puts its figures."""
        return self.folder / "results.json"

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return self.folder / "report.html"

    # ------------------------------------------------------------------------------------------- the forget set

    def choose(self, forget: str | Iterable[SampleId]) -> Split:
        """Fix the forget set: ids, "random:SHARE", "class:K", "coins" (the heads), or "@FILE" with one id a line.

        A folder has one forget set: another one is refused with WorkspaceError.
        """
        if isinstance(forget, str):
            ids, rule = self._parse(forget)
        else:
            ids, rule = [str(one) for one in forget], "ids"
        split = Split.of(self.data.train, forget=ids, reference=self.data.reference)
        path = self.folder / "forget.json"
        wanted = sorted(split.forget.ids.tolist())
        if path.exists():
            if sorted(_read(path)["ids"]) != wanted:
                raise WorkspaceError(
                    f"expected the forget set that {self.folder} has had from the start, got another; "
                    "begin in a new folder, or leave out --forget"
                )
        else:
            write_json(path, {"rule": rule, "ids": split.forget.ids.tolist()})
        return split

    @property
    def chosen(self) -> bool:
        """Whether the forget set has been chosen."""
        return (self.folder / "forget.json").exists()

    def unchoose(self) -> None:
        """Take the choice of the forget set back; for a request that was refused before a model came of it."""
        (self.folder / "forget.json").unlink(missing_ok=True)

    @property
    def rule(self) -> str:
        """How the forget set was chosen, in a few words."""
        return _read(self.folder / "forget.json")["rule"]

    @property
    def split(self) -> Split:
        """The split by the forget set that was chosen; raises WorkspaceError where none was."""
        path = self.folder / "forget.json"
        if not path.exists():
            raise WorkspaceError(f"expected a forget set in {self.folder}, got none; choose one with --forget")
        return Split.of(self.data.train, forget=_read(path)["ids"], reference=self.data.reference)

    def _parse(self, text: str) -> tuple[list[SampleId], str]:
        if text.startswith("random:"):
            try:
                share = float(text.removeprefix("random:"))
            except ValueError as error:
                raise DataError(
                    f"expected random:SHARE with a share in (0, 1), got {text!r}; try random:0.1"
                ) from error
            return random_ids(self.data.train, share, seed=self.seed).tolist(), f"random {100 * share:g} %"
        if text.startswith("class:"):
            label = text.removeprefix("class:")
            return class_ids(self.data.train, label).tolist(), f"class {label}"
        if text == "coins":
            if self.tossed is None:
                raise DataError(
                    f"expected a folder with coins to forget the heads of, got {self.folder} without; "
                    "train with `obliviate train --coins 1000` in a new one"
                )
            return self.tossed.heads.tolist(), f"the {len(self.tossed.heads)} heads of {self.coins} coins"
        if text.startswith("@"):
            try:
                lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(
                    f"expected a text file with one id a line, got {text[1:]} ({error}); check it"
                ) from error
            return [one.strip() for one in lines if one.strip()], f"ids from {Path(text[1:]).name}"
        return [one.strip() for one in text.split(",") if one.strip()], "ids"

    # ------------------------------------------------------------------------------------------- models

    def train(self) -> Trained:
        """Train the original model, or read it back."""
        return self._kept(
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

    def unlearn(self, method: Method, *, seed: int | None = None, retain: bool = True, name: str = "") -> Trained:
        """Make the original forget by a method, or read the outcome back.

        `retain=False` hides the retain set from the method. The name defaults to the method's.
        """
        seed = self.seed if seed is None else seed
        split = self.split if retain else self.split.without_retain()
        name = name or (
            f"{method.name} (seed {seed})"
            if isinstance(method, Retrain)
            else method.name + ("" if retain else " (no retain set)")
        )
        original = self.train()
        request = f"{method!r} {seed} {retain} {sorted(split.forget.ids.tolist())} {self._digest(original)}"
        identity = f"{method.name}-{hashlib.sha256(request.encode()).hexdigest()[:10]}"
        return self._kept(
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
        return [made for made, _ in self._entries()]

    def _entries(self) -> list[tuple[Trained, Manifest]]:
        """The models with their manifests."""
        # The manifest is written last: weights without one are those of an interrupted run.
        manifests = sorted((self.folder / "models").glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
        loaded = [self._read(path.with_suffix(".safetensors")) for path in manifests]
        loaded.sort(key=lambda one: one[0].role != "original")
        told, entries = Counter[str](), []
        for made, manifest in loaded:
            told[made.label] += 1
            again = told[made.label]
            entries.append((made if again == 1 else replace(made, name=f"{made.label} #{again}"), manifest))
        return entries

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
        check_count(references)
        settings = settings or AuditSettings()
        workflow.check_margins(settings)
        if references < LEAST_REFERENCES:
            raise AuditError(
                f"expected at least {LEAST_REFERENCES} reference models, got {references}; 16 is the default"
            )
        if 0 != retrained < LEAST_RETRAINED:
            raise AuditError(
                f"expected 0 or at least {LEAST_RETRAINED} retrained models, got {retrained}; three or more are better"
            )
        since = time.monotonic() if since is None else since
        split, unseen = self.split, self.data.test
        if not retrained:
            self._refuse_without_retrained(split)
        self.train()
        self.retrained(retrained)
        pool = self.references(references, workers=workers)
        unlearned, notes = self._shadows(pool, workers) if shadows else ({}, [])
        self.progress("audit", 0, 1)
        models = self.models()
        result = workflow.audit_models(models, split, unseen, pool, settings=settings, shadows=unlearned)
        values = workflow.describe(
            result,
            split,
            unseen,
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
        )
        if self.tossed is not None:
            if set(split.forget.ids) == set(self.tossed.heads):
                tails = self._whole.train.select(self.tossed.tails)
                values["coin_flips"] = planned.coin_flips(models, split.forget, tails).to_dict()
            else:
                notes.append("The coins were not tested: that needs a request for the heads (--forget coins).")
        values["notes"] = notes
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

    def _refuse_without_retrained(self, split: Split) -> None:
        """Refuse, before references are trained, a request that only retrained models can be a yardstick for."""
        labels = [set(one.everything().y.flatten().tolist()) for one in (split.forget, split.kept)]
        manifests = map(checkpoint.read_manifest, (self.folder / "models").glob("*.safetensors"))
        if labels[0] <= labels[1] or sum(one.role == "retrained" for one in manifests) >= LEAST_RETRAINED:
            return
        raise AuditError(
            f"expected at least {LEAST_RETRAINED} retrained models where every sample of a class is forgotten, got 0; "
            "no reference went without that class"
        )

    def _shadows(self, pool: ReferencePool, workers: int | None) -> tuple[dict[str, ShadowPool], list[str]]:
        """Make shadows for every unlearned model, by its label; and say of which models there are none, and why."""
        found: dict[str, ShadowPool] = {}
        notes = []
        for made, manifest in self._entries():
            if made.role != "unlearned":
                continue
            try:
                method, split = self._made_by(manifest)
                found[made.label] = workflow.train_shadows(
                    pool,
                    self.recipe,
                    self.data.train,
                    self.data.test,
                    split,
                    method,
                    self.task,
                    seed=self.seed,
                    workers=workers,
                    progress=self._said(made.label),
                )
            except (MethodError, TrainingError) as error:
                notes.append(f"{made.label} was audited without U-LiRA, for it has no shadows: {error}")
        return found, notes

    def _made_by(self, manifest: Manifest) -> tuple[Method, Split]:
        """The method that made a model, as it was set, and the split that it was given."""
        described = manifest.settings.get("method")
        if described is None:
            raise MethodError(
                f"expected the method in the model's manifest, got {manifest.method} only, which is of an earlier "
                "version or cannot be written down; unlearn again"
            )
        method = methods.from_dict(described)
        split = self.split if manifest.settings["retain"] else self.split.without_retain()
        if repr(made := settle(method, split)) != manifest.method:
            raise MethodError(f"expected {manifest.method}, got {made!r} from this version; unlearn again")
        return method, split

    # ------------------------------------------------------------------------------------------- files

    def _kept(
        self, identity: str, make: Any, *, ids: list[SampleId], settings: Mapping[str, Any] | None = None
    ) -> Trained:
        path = self.folder / "models" / f"{identity}.safetensors"
        if path.with_suffix(".json").exists():
            return self._load(path)
        work = self.folder / "work" / identity  # made by the run when it has something to keep
        try:
            made: Trained = make(work)
        except ObliviateError:  # it would come again: nothing here is worth going on with
            _discard(work)
            raise
        path.parent.mkdir(exist_ok=True)
        checkpoint.save(
            path,
            made.model,
            role=made.role,
            method=made.method,
            seed=made.seed,
            recipe=self.recipe.to_dict(),
            data_sha256=self.data.sha256,
            ids=ids,
            settings={"name": made.name, "notes": dict(made.notes), **(settings or {})},
            seconds=made.seconds or 0.0,
        )
        _discard(work)
        return made

    def _load(self, path: Path) -> Trained:
        return self._read(path)[0]

    def _read(self, path: Path) -> tuple[Trained, Manifest]:
        model = self.recipe.build(seed=self.seed)
        manifest = checkpoint.load(path, model)
        if manifest.data_sha256 != self.data.sha256:
            raise WorkspaceError(
                f"expected a model of this folder's data, got {path} of other data; remove it from {path.parent}"
            )
        model.eval()
        notes, name = manifest.settings["notes"], manifest.settings["name"]
        role: Any = manifest.role
        return Trained(model, role, manifest.method, manifest.seed, manifest.seconds, notes, name), manifest

    @property
    def _checkpoints(self) -> Path | None:
        return self.folder / "checkpoints" if self.recipe.sharded else None

    def _digest(self, original: Trained) -> str:
        return checkpoint.weights_sha256(original.model)

    def _said(self, name: str) -> Progress:
        def progress(stage: str, done: float, total: float) -> None:
            self.progress(name if stage in {"train", name} else f"{name}: {stage}", done, total)

        return progress


def _discard(work: Path) -> None:
    """Remove the folder of one run, which is not there if nothing was kept, and the one above it if it is empty."""
    shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):
        work.parent.rmdir()


def write_report(folder: Path) -> Path:
    """Render `report.html` from the `results.json` of a folder; raises WorkspaceError or ReportError."""
    results = folder / "results.json"
    if not results.exists():
        raise WorkspaceError(f"expected results.json in {folder}, got none; run `obliviate audit --out {folder}` first")
    text = html.render(_read(results))
    target = folder / "report.html"
    write_atomically(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return target


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"expected JSON in {path}, got {error}; the file is damaged") from error
    if not isinstance(values, dict):
        raise WorkspaceError(f"expected a JSON object in {path}, got {type(values).__name__}; the file is foreign")
    return values
