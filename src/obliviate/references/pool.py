"""The reference pool: trained once, grown and resumed by its files, read one member at a time."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int, Shaped

from obliviate._util.files import WORK, read_sealed_json, writable_folder, write_sealed_json
from obliviate._util.locks import LOCK
from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.errors import AuditError
from obliviate.references.completion import check_makers, complete
from obliviate.references.executors.protocol import Executor
from obliviate.references.handover import SAMPLES
from obliviate.references.jobs import JOB
from obliviate.references.logits import HeldLogits, StoredLogits
from obliviate.references.member import Members
from obliviate.references.plan import check_count, leave_half_out
from obliviate.references.records import is_finished, open_logits, read_record, weights_file
from obliviate.task import Task
from obliviate.training.identity import architecture_sha256, describe_task, task_sha256
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.types import Ids

FORMAT: Final = "obliviate.references/2"
FACTS: Final = "pool.json"
SHADOWS: Final = "shadows"
REWRITE: Final = "delete the file, and train references again, which writes it anew and keeps those that are there"
LEAST_POPULATION: Final = 6  # two samples to forget, two to keep, two unseen
OURS: Final = re.compile(
    rf"{re.escape(FACTS)}|{LOCK}|{re.escape(JOB)}|{SAMPLES}|{WORK}|{SHADOWS}|worker-\d+\.log|member-\d{{3,}}(\.json|(\.logits)?\.safetensors)"
)


@dataclass(frozen=True, eq=False)
class ReferencePool:
    """Trained references: their outputs over the population, and which samples each was trained on.

    `logits` reads one member at a time: its memory does not grow with their number; of an oracle (`oracles`) they are
    held in memory. `folder` is where the files are;
    `seconds` is the training time of all members together.
    """

    ids: Ids
    logits: StoredLogits | HeldLogits
    included: Bool[np.ndarray, "models n"]
    fingerprint: str
    seconds: float
    folder: Path
    seed: int

    def rows(self, ids: Ids) -> Int[np.ndarray, " n"]:
        """Where these samples stand in the pool; raises AuditError for samples outside it."""
        place = {str(name): row for row, name in enumerate(self.ids)}
        if outside := [name for name in ids if str(name) not in place]:
            raise AuditError(
                f"expected samples of the reference pool, got {shown(outside)} outside it; "
                "train references over the training and the unseen samples that are audited"
            )
        return np.array([place[str(name)] for name in ids])

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def weights(self) -> tuple[Path, ...]:
        """The members' weights, in their order; raises AuditError where they were dropped."""
        paths = tuple(weights_file(self.folder, Members.kind, member) for member in range(len(self)))
        if dropped := [path.name for path in paths if not path.exists()]:
            raise AuditError(
                f"expected the weights of every reference, got none for {len(dropped)} of {len(self)} ({dropped[0]}) "
                f"in {self.folder}; they were dropped: delete their outputs (.logits.safetensors) to train them again"
            )
        return paths

    def drop_weights(self) -> None:
        """Delete the members' weights, which only shadows need; the outputs stay."""
        for member in range(len(self)):
            weights_file(self.folder, Members.kind, member).unlink(missing_ok=True)


@dataclass(frozen=True)
class PoolFacts:
    """What a pool's folder says of itself: what its members depend on, and how many there are.

    `members` are the outputs that are there, `weights` how many of these have their weights beside them.
    """

    folder: Path
    fingerprint: str
    recipe: Mapping[str, Any]
    architecture_sha256: str
    task: Mapping[str, str]
    task_sha256: str
    population_sha256: str
    samples: int
    seed: int
    groups_sha256: str | None = None

    @classmethod
    def read(cls, folder: Path) -> PoolFacts:
        """Read the description in a pool's folder; raises AuditError for a damaged or foreign one, or for none."""
        path = folder / FACTS
        values = _described(path)
        del values["format"]
        try:
            return cls(folder, folder.name, **values)
        except TypeError as error:
            raise AuditError(
                f"expected the description of a reference pool, got {path} ({error}); remove the folder {folder}"
            ) from error

    @cached_property
    def members(self) -> int:
        """How many members are there without a gap, from the first."""
        count = 0
        while is_finished(self.folder, Members.kind, count):
            count += 1
        return count

    @property
    def weights(self) -> int:
        """How many of the members have their weights beside them."""
        return sum(weights_file(self.folder, Members.kind, member).exists() for member in range(self.members))

    @property
    def bytes(self) -> int:
        """The size of all files, shadows included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def differences(self, asked: Mapping[str, Any]) -> str:
        """Say in what this pool is another than that of an `identity`; an empty text if in nothing.

        Models and losses are compared on samples, so that nothing is said of them where the samples are others.
        """
        differences = [
            f"{key} {self.recipe.get(key)!r}, not {asked['recipe'].get(key)!r}"
            for key in sorted(set(self.recipe) | set(asked["recipe"]))
            if key != "model" and self.recipe.get(key) != asked["recipe"].get(key)
        ]
        tasks = [
            f"the task's {key} {self.task.get(key)}, not {asked['task'].get(key)}"
            for key in sorted(set(self.task) | set(asked["task"]))
            if self.task.get(key) != asked["task"].get(key)
        ]
        if self.population_sha256 != asked["population_sha256"]:
            differences += [*tasks, f"other samples ({self.samples:,}, not {asked['samples']:,})"]
        else:
            if self.architecture_sha256 != asked["architecture_sha256"]:
                own_model, asked_model = self.recipe.get("model"), asked["recipe"]["model"]
                differences.append(
                    "the architecture as built"
                    + (f" ({own_model}, not {asked_model})" if own_model != asked_model else "")
                )
            differences += tasks or ["the task's loss"] * (self.task_sha256 != asked["task_sha256"])
        if self.groups_sha256 != asked.get("groups_sha256"):
            differences.append("which samples belong together")
        if self.seed != asked["seed"]:
            differences.append(f"seed {self.seed}, not {asked['seed']}")
        return ", ".join(differences)


def identity(
    recipe: Recipe, population: Samples, task: Task, *, seed: int, groups: Shaped[np.ndarray, " n"] | None = None
) -> dict[str, Any]:
    """Say what the members of a pool depend on, as `pool.json` does; the number of members is not part of it.

    Raises RecipeError as `training.identity.architecture_sha256` does.
    """
    grouped = {} if groups is None else {"groups_sha256": _groups_sha256(groups)}
    return {
        "recipe": recipe.to_dict(),
        "architecture_sha256": architecture_sha256(recipe, population),
        "task": describe_task(task),
        "task_sha256": task_sha256(task, recipe.build(seed=0), population),
        "population_sha256": population.sha256,
        "samples": len(population),
        "seed": seed,
        **grouped,
    }


def _groups_sha256(groups: Shaped[np.ndarray, " n"]) -> str:
    """A hash of which samples belong together, whatever their groups are called."""
    _, first, places = np.unique(groups, return_index=True, return_inverse=True)
    return hashlib.sha256(first[places].astype("<i8").tobytes()).hexdigest()


def fingerprint(identity: Mapping[str, Any]) -> str:
    """A short hash of an `identity`, in which the name of the model's builder plays no part: what it builds does."""
    recipe = {key: value for key, value in identity["recipe"].items() if key != "model"}
    return hashlib.sha256(json.dumps({**identity, "recipe": recipe}, sort_keys=True).encode()).hexdigest()[:16]


def train_pool(
    recipe: Recipe,
    population: Samples,
    task: Task,
    *,
    folder: Path,
    models: int = 16,
    seed: int = 0,
    groups: Shaped[np.ndarray, " n"] | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    keep_weights: bool = True,
    progress: Progress = silent,
) -> ReferencePool:
    """Train the references that are not yet in `folder`, and open all of them.

    The population is what may be audited: the training samples and the unseen ones that stand for non-members, each
    in half of the references. A killed training goes on where it stopped; a pool grows by asking for more `models`,
    without training any again. `workers` processes train side by side, one thread each; 0 trains in this process,
    which is the default for a model that other processes cannot import, and on a GPU. An `executor`
    (`concurrent.futures`, dask's `client.get_executor()`, …) is given one function call a member instead; its
    processes must see `folder`. `groups` names for each sample what it belongs to, such as its owner: all of a group is
    then in the same half (`plan.leave_half_out`). `keep_weights=False` drops the members' weights, which shadows need,
    and teachers that are asked about samples outside the population.

    What is there is used if it is of the same model as built, task, loss, recipe, samples and seed (`identity`). Others
    are left alone, with a warning where only the model as built or the task differs, as after an edit of their code.

    Raises RecipeError when other processes are asked for and cannot import the model, and for a builder that does not
    return a new model at each call; AuditError for a number of models that is not even or below 4, a population below
    6 samples, and damaged or foreign files; WorkspaceError for a folder that cannot be written to or that another
    process is training in; TrainingError when a member fails.
    """
    check_count(models)
    check_makers(workers, executor)
    if len(population) < LEAST_POPULATION:
        raise AuditError(
            f"expected at least {LEAST_POPULATION} samples to train references over, got {len(population)}; "
            "an audit needs some to forget, some to keep and some unseen"
        )
    included = leave_half_out(models, len(population), seed=seed, groups=groups)
    facts = identity(recipe, population, task, seed=seed, groups=groups)
    name = fingerprint(facts)
    _warn_of_unlike(folder, name, facts)
    folder = writable_folder(folder / name)
    _refuse_foreign(folder)
    if not (folder / FACTS).exists():
        write_sealed_json(folder / FACTS, {"format": FORMAT, **facts})
    elif PoolFacts.read(folder).differences(facts):
        raise AuditError(f"expected the description of references {name}, got another in {folder / FACTS}; {REWRITE}")
    job = Members(recipe, task, population, seed, (name,), keep_weights, models, groups)
    complete(job, folder, models, workers=workers, executor=executor, progress=progress)
    pool = _open(folder, population, included, name, seed)
    if not keep_weights:
        pool.drop_weights()
    return pool


def load_pool(
    recipe: Recipe,
    population: Samples,
    task: Task,
    *,
    folder: Path,
    models: int | None = None,
    seed: int = 0,
    groups: Shaped[np.ndarray, " n"] | None = None,
) -> ReferencePool:
    """Open a pool that is there, all of it or its first `models`, and train nothing.

    Raises AuditError where there is none of this `identity`, with what there is instead, or where it has fewer members;
    RecipeError as `identity` does.
    """
    facts = identity(recipe, population, task, seed=seed, groups=groups)
    name = fingerprint(facts)
    pools = {pool.fingerprint: pool for pool in pools_in(folder)}
    if name not in pools:
        others = "; ".join(f"{digest}: {pool.differences(facts)}" for digest, pool in pools.items())
        raise AuditError(
            f"expected references {name} in {folder}, got {others or 'none'}; "
            "train them first, or give the model, the recipe, the task, the samples and the seed that they were "
            "trained by"
        )
    members = pools[name].members
    if members < (wanted := models or max(4, members - members % 2)):
        raise AuditError(
            f"expected {wanted} references in {folder / name}, got {members}; train more, which keeps these as they are"
        )
    _refuse_foreign(folder / name)
    included = leave_half_out(wanted, len(population), seed=seed, groups=groups)
    return _open(folder / name, population, included, name, seed)


def pools_in(folder: Path) -> tuple[PoolFacts, ...]:
    """List the pools of a folder by their fingerprints; raises AuditError for a damaged or foreign description."""
    return tuple(PoolFacts.read(path.parent) for path in sorted(folder.glob(f"*/{FACTS}")))


def _warn_of_unlike(folder: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Warn before a new pool is begun beside one of the same recipe, samples and seed."""
    if (folder / name / FACTS).exists():
        return
    with suppress(AuditError):  # a description that cannot be read is of another pool, which does not matter here
        for pool in pools_in(folder):
            same = all(getattr(pool, key) == facts[key] for key in ("recipe", "population_sha256", "seed"))
            if same and pool.groups_sha256 == facts.get("groups_sha256"):
                warnings.warn(
                    f"new references are trained, for those in {pool.folder} differ in {pool.differences(facts)}",
                    stacklevel=3,
                )


def _described(path: Path) -> dict[str, Any]:
    return read_sealed_json(path, FORMAT, remedy=REWRITE, error=AuditError)


def _open(
    folder: Path, population: Samples, included: Bool[np.ndarray, "models n"], name: str, seed: int
) -> ReferencePool:
    records = [read_record(folder, Members.kind, member, name) for member in range(len(included))]
    logits = open_logits(folder, Members.kind, records, samples=len(population))
    seconds = sum(record.seconds for record in records)
    return ReferencePool(population.ids, logits, included, name, seconds, folder, seed)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with files that are not a pool's, other than hidden ones; raises AuditError."""
    foreign = sorted(
        path.name for path in folder.iterdir() if not path.name.startswith(".") and not OURS.fullmatch(path.name)
    )
    if foreign:
        raise AuditError(
            f"expected a folder with references and nothing else, got {foreign[0]} in {folder}; move it elsewhere"
        )
