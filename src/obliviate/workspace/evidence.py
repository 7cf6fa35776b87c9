"""What an audit of a folder rests on: how much of it is enough, and shadows for every unlearned model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from obliviate import methods
from obliviate.audit.inputs import LEAST_REFERENCES, LEAST_RETRAINED
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.methods.base import Method, settle
from obliviate.references.completion import check_makers
from obliviate.references.executors.protocol import Executor
from obliviate.references.plan import MOST, check_count
from obliviate.references.pool import ReferencePool
from obliviate.requests.manifest import Manifest
from obliviate.training.scale import Scale


@dataclass(frozen=True)
class Makers:
    """Who trains references and makes shadows: so many local processes, or an executor (`references.completion`).

    Raises AuditError for both at once.
    """

    workers: int | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        check_makers(self.workers, self.executor)


def check_counts(*, references: int, retrained: int) -> None:
    """Refuse numbers of references and of retrained models that no audit can be made with; raises AuditError.

    >>> check_counts(references=16, retrained=0)
    """
    check_count(references)
    if references < LEAST_REFERENCES:
        raise AuditError(f"expected at least {LEAST_REFERENCES} reference models, got {references}; 16 is the default")
    if 0 != retrained < LEAST_RETRAINED:
        raise AuditError(
            f"expected 0 or at least {LEAST_RETRAINED} retrained models, got {retrained}; three or more are better"
        )
    if retrained > MOST:
        raise AuditError(f"expected at most {MOST:,} retrained models, got {retrained}; 3 is the default")


def check_chosen(asked: int, *, retrained: int) -> None:
    """Refuse references as a baseline for samples that they were asked to choose; raises AuditError.

    >>> check_chosen(16, retrained=2)
    """
    if asked and retrained < LEAST_RETRAINED:
        raise AuditError(
            f"expected at least {LEAST_RETRAINED} retrained models where {asked} references chose what to forget, got "
            f"{retrained}; these are the samples on which the references happen to be extreme, so that they are no "
            f"baseline: ask for --retrained {LEAST_RETRAINED} or more"
        )


def teachers_of(manifests: Sequence[Manifest], open_pool: Callable[[int], ReferencePool]) -> ReferencePool | None:
    """The teachers of models that were made one after the other, None if they had none."""
    counts = sorted({count for manifest in manifests if (count := manifest.settings.get("taught_by"))})
    if len(counts) > 1:
        raise MethodError(
            f"expected requests that learned from the same number of teachers, got {counts}; unlearn with the same "
            "--teachers, or audit without shadows"
        )
    return open_pool(counts[0]) if counts else None


def made_by(manifest: Manifest, split: Split, scale: Callable[[], Scale]) -> tuple[Split, Method]:
    """The split that a method was given which made a model, and the method, as it was set.

    `scale` is what its relative settings are multiples of. Raises MethodError where the method is not known.
    """
    described = manifest.settings.get("method")
    if described is None:
        raise MethodError(
            f"expected the method in the model's manifest, got {manifest.method} only, which is of an earlier "
            "version or cannot be written down; unlearn again"
        )
    method = methods.from_dict(described)
    request = split if manifest.settings["retain"] else split.without_retain()
    if repr(settled := settle(method, request, scale)) != manifest.method:
        raise MethodError(f"expected {manifest.method}, got {settled!r} from this version; unlearn again")
    return request, settled
