"""A reference pool as teachers of a method: what its members say of samples that they were not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.references.member import Members, read_member
from obliviate.references.pool import PoolFacts, ReferencePool
from obliviate.references.records import read_record
from obliviate.task import Task
from obliviate.training.inference import observed
from obliviate.training.recipe import Recipe
from obliviate.training.teachers import Answer


@dataclass(frozen=True, eq=False)
class PoolTeachers:
    """The members of `pool`, which were trained by `recipe` for `task`.

    What they say of samples of the pool's population is read from the files there. Other samples none of them has seen:
    the members' weights are read and asked. Two pools are the same teachers if they have the same `fingerprint` and
    length.
    """

    pool: ReferencePool
    recipe: Recipe
    task: Task

    @classmethod
    def of(cls, pool: ReferencePool, recipe: Recipe | None, task: Task) -> PoolTeachers:
        """Take a pool for teachers of a model of this recipe; raises MethodError for a pool of another recipe."""
        if recipe is None:
            raise MethodError("expected the recipe of the teachers, got none; pass the one that trained the original")
        own, theirs = recipe.to_dict(), PoolFacts.read(pool.folder).recipe
        if differing := sorted(key for key in own if key != "model" and own[key] != theirs.get(key)):
            raise MethodError(
                f"expected teachers that were trained as the model was, got others in {', '.join(differing)}; train "
                "them by the model's recipe"
            )
        return cls(pool, recipe, task)

    @property
    def fingerprint(self) -> str:
        """That of the pool."""
        return self.pool.fingerprint

    def __len__(self) -> int:
        return len(self.pool)

    def __repr__(self) -> str:
        return f"PoolTeachers({self.fingerprint}, models={len(self)})"

    def answers(self, samples: Samples) -> Iterator[Answer]:
        """Yield each member's outputs, and which samples it was not trained on.

        Raises AuditError for damaged files, and for weights that were dropped but are needed.
        """
        places = {str(name): row for row, name in enumerate(self.pool.ids)}
        is_member = np.array([str(name) in places for name in samples.ids])
        rows = np.array([places[str(name)] for name in samples.ids[is_member]], dtype=int)
        logits, strangers = self.pool.logits.rows(rows), samples.at(~is_member)
        for member, included in enumerate(self.pool.included):
            outputs = torch.from_numpy(logits[member])
            if len(strangers):
                of_strangers = self._ask(member, strangers)
                whole = torch.empty(len(samples), *of_strangers.shape[1:])
                whole[torch.from_numpy(is_member)], whole[torch.from_numpy(~is_member)] = outputs, of_strangers
                outputs = whole
            never_saw = np.ones(len(samples), dtype=bool)
            never_saw[is_member] = ~included[rows]
            yield outputs, torch.from_numpy(never_saw)

    def _ask(self, member: int, samples: Samples) -> torch.Tensor:
        _ = self.pool.weights  # says so where they were dropped
        record = read_record(self.pool.folder, Members.kind, member, self.fingerprint)
        model = read_member(self.pool.folder, member, record.weights_sha256, self.recipe)
        return observed(model, samples, self.task)
