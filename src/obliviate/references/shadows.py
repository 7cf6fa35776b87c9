"""Shadows for U-LiRA: every reference goes through the unlearning that is audited.

Hayes, Shumailov, Triantafillou, Khalifa, Papernot 2024, "Inexact Unlearning Needs More Careful Evaluations to Avoid a
False Sense of Privacy", arXiv 2403.01218.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Shaped
from torch import nn

from obliviate._util.files import read_sealed_json, shortened_apart, writable_folder, write_sealed_json
from obliviate._util.seeds import derive
from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.errors import AuditError
from obliviate.references.completion import check_makers, complete
from obliviate.references.executors.protocol import Executor
from obliviate.references.jobs import Job, pickled
from obliviate.references.logits import REMEDY, StoredLogits
from obliviate.references.member import Members, read_member
from obliviate.references.pool import PoolFacts, ReferencePool, fingerprint, identity
from obliviate.references.records import ModelRecord, open_logits, read_record, record_file
from obliviate.task import Task
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.types import Ids

FORMAT: Final = "obliviate.shadows/2"
FACTS: Final = "shadows.json"
REWRITE: Final = "delete the file, and make the shadows again, which writes it anew and keeps those that are there"


@runtime_checkable
class Unlearning(Protocol):
    """Makes a model forget some of what it was trained on, and tells how many seconds that took.

    Its `repr` says everything that the outcome depends on besides the arguments. An interrupted unlearning goes on in
    `folder`.
    """

    def __call__(
        self, model: nn.Module, forget: Samples, retain: Samples, *, seed: int, folder: Path, progress: Progress
    ) -> tuple[nn.Module, float]: ...


@dataclass(frozen=True, eq=False)
class ShadowPool:
    """Shadows: their outputs for the samples F ∪ V, and which of these each was trained on and made to forget.

    `forget` marks the samples of the request, F; the others, V, are as many that were drawn from the unseen ones, so
    that both are in half of the shadows. `logits` reads one shadow at a time; `seconds` is the time of all unlearning.
    """

    ids: Ids
    logits: StoredLogits
    included: Bool[np.ndarray, "shadows n"]
    forget: Bool[np.ndarray, " n"]
    fingerprint: str
    seconds: float
    folder: Path

    def __len__(self) -> int:
        return len(self.logits)


@dataclass(frozen=True, eq=False)
class Shadows(Job):
    """The shadows of a pool: reference r forgets (F ∪ V) ∩ D_r and retains the rest of D_r, by each unlearning."""

    kind: ClassVar[str] = "shadow"
    stage: ClassVar[str] = "shadows"
    self_contained: ClassVar[bool] = False

    ids: Ids
    included: Bool[np.ndarray, "shadows population"]
    references: Path
    weights_sha256: tuple[str | None, ...]
    unlearnings: tuple[Unlearning, ...]

    @property
    def asked(self) -> Samples:
        return self.population.select(self.ids)

    @property
    def portable(self) -> str | None:
        local = next((unlearning for unlearning in self.unlearnings if not pickled(unlearning)), None)
        if local is None:
            return super().portable
        return (
            f"expected an unlearning that other processes can import, got {local!r}; "
            "define it at the top level of a module, or pass workers=0 to work in this process"
        )

    def begun_from(self, member: int) -> str | None:
        return self.weights_sha256[member]

    def folders(self, folder: Path) -> tuple[Path, ...]:
        return tuple(folder.parent / fingerprint for fingerprint in self.fingerprints)

    def models_of(
        self, member: int, *, work: Mapping[str, Path], progress: Progress
    ) -> Iterator[tuple[str, nn.Module, float]]:
        trained = self.population.at(self.included[member])
        forgotten = np.isin(trained.ids, self.ids)
        forget, retain = trained.at(forgotten), trained.at(~forgotten)
        reference = read_member(self.references, member, self.weights_sha256[member], self.recipe, seed=self.seed)
        seed = derive(self.seed, self.kind, member)
        unlearnings = dict(zip(self.fingerprints, self.unlearnings, strict=True))
        for name, folder in work.items():
            begun = copy.deepcopy(reference)
            model, seconds = unlearnings[name](begun, forget, retain, seed=seed, folder=folder, progress=progress)
            yield name, model, seconds


def hold_out(unseen: Ids, count: int, *, seed: int) -> Shaped[np.ndarray, " count"]:
    """Draw V, as many unseen ids as there are samples to forget; raises AuditError where there are fewer.

    >>> len(hold_out(np.array(["a", "b", "c"]), 2, seed=0))
    2
    """
    if len(unseen) < count:
        raise AuditError(
            f"expected at least as many unseen samples as there are to forget, got {len(unseen)} for {count}; "
            "train references over more unseen samples, or ask for less"
        )
    generator = np.random.default_rng(derive(seed, "held out of the shadows"))
    return np.sort(generator.choice(np.sort(unseen), size=count, replace=False))


def make_shadows(
    pool: ReferencePool,
    recipe: Recipe,
    population: Samples,
    task: Task,
    unlearnings: Sequence[Unlearning],
    *,
    forget: Shaped[np.ndarray, " f"],
    unseen: Shaped[np.ndarray, " u"],
    folder: Path,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> list[ShadowPool]:
    """Make the shadows that are not yet in `folder`, one from every reference by each unlearning, and open all of them.

    The weights of a reference are read once for all unlearnings; what is opened is in their order.

    What is compared is "was trained on x and unlearned it" with "never saw x". So that this is fair to members and
    non-members alike, the shadows forget V beside F: unseen samples of the same number, each in half of the references
    too. Shadows are kept by a hash of the pool, the unlearning's `repr`, F, V and the seed; a pool that has grown
    needs new ones for its new members only. `workers`, `executor` and interruptions are as in `train_pool`.

    Raises AuditError for a pool whose weights were dropped, for another model, recipe, task or population than the
    pool's, for samples outside it, and for a request so small that some reference has nothing to forget.
    """
    check_makers(workers, executor)
    held_out = hold_out(unseen, len(forget), seed=seed)
    ids = np.concatenate([np.sort(forget), held_out])
    if outside := sorted(set(ids.tolist()) - set(pool.ids.tolist())):
        raise AuditError(f"expected samples of the reference pool, got {shown(outside)} outside it; use its samples")
    asked = identity(recipe, population, task, seed=pool.seed)
    if (groups_sha256 := PoolFacts.read(pool.folder).groups_sha256) is not None:
        asked["groups_sha256"] = groups_sha256
    if fingerprint(asked) != pool.fingerprint:
        raise AuditError(
            f"expected the model, the recipe, the task and the samples of references {pool.fingerprint}, got others "
            f"(theirs: {PoolFacts.read(pool.folder).differences(asked)}); give those that they were trained by"
        )
    included = pool.included[:, population.places(ids).numpy()]
    if idle := np.flatnonzero(~included.any(axis=1)).tolist():
        raise AuditError(
            f"expected something to forget in every reference, got none of the {len(ids)} samples in reference "
            f"{idle[0]}; shadows need a request of {int(np.log2(len(pool))) // 2 + 3} samples or more"
        )
    rest = f"{ids[: len(forget)].tolist()} {held_out.tolist()} {seed}"
    names = [_fingerprint(f"{pool.fingerprint} {unlearning!r} {rest}") for unlearning in unlearnings]
    distinct = dict(zip(names, unlearnings, strict=True))  # models of one method as it is set have the same shadows
    _ = pool.weights  # where they were dropped, it says so before any work
    references = [read_record(pool.folder, Members.kind, member, pool.fingerprint) for member in range(len(pool))]
    job = Shadows(
        recipe, task, population, seed, tuple(distinct), False, ids=ids, included=pool.included,
        references=pool.folder.absolute(), weights_sha256=tuple(reference.weights_sha256 for reference in references),
        unlearnings=tuple(distinct.values()),
    )  # fmt: skip
    facts = {"format": FORMAT, "pool": pool.fingerprint, "seed": seed}
    facts |= {"forget": ids[: len(forget)].tolist(), "held_out": held_out.tolist()}
    for name, unlearning in distinct.items():
        _describe(writable_folder(folder / name), facts | {"unlearning": repr(unlearning)})
    complete(job, folder / names[0], len(pool), workers=workers, executor=executor, progress=progress)
    forgotten = np.arange(len(ids)) < len(forget)
    return [_open(folder / name, name, references, ids, included, forgotten) for name in names]


def _fingerprint(request: str) -> str:
    return hashlib.sha256(request.encode()).hexdigest()[:16]


def _describe(folder: Path, facts: Mapping[str, object]) -> None:
    """Write what shadows are of; raises AuditError where something else is written."""
    if not (folder / FACTS).exists():
        write_sealed_json(folder / FACTS, facts)
    elif read_sealed_json(folder / FACTS, FORMAT, remedy=REWRITE, error=AuditError) != facts:
        raise AuditError(
            f"expected the description of shadows {folder.name}, got another in {folder / FACTS}; {REWRITE}"
        )


def _open(
    folder: Path,
    name: str,
    references: Sequence[ModelRecord],
    ids: Ids,
    included: Bool[np.ndarray, "shadows n"],
    forget: Bool[np.ndarray, " n"],
) -> ShadowPool:
    shadows = [read_record(folder, Shadows.kind, shadow, name) for shadow in range(len(references))]
    for shadow, reference in zip(shadows, references, strict=True):
        if shadow.begun_from != reference.weights_sha256:
            wanted, got = shortened_apart(str(reference.weights_sha256), str(shadow.begun_from))
            raise AuditError(
                f"expected a shadow of the reference with weights {wanted}, got that of {got} in "
                f"{record_file(folder, Shadows.kind, shadow.member)}; {REMEDY}"
            )
    logits = open_logits(folder, Shadows.kind, shadows, samples=len(ids))
    seconds = sum(shadow.seconds for shadow in shadows)
    return ShadowPool(ids, logits, included, forget, name, seconds, folder)
