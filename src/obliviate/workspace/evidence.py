"""What an audit of a folder rests on: how much of it is enough, and shadows for every unlearned model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from obliviate import methods, workflow
from obliviate.audit.inputs import LEAST_REFERENCES, LEAST_RETRAINED
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError, TrainingError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method, settle
from obliviate.references.completion import check_makers
from obliviate.references.executors import Executor
from obliviate.references.plan import MOST, check_count
from obliviate.references.pool import ReferencePool
from obliviate.references.shadows import ShadowPool
from obliviate.requests.manifest import Manifest
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress
from obliviate.training.scale import Scale
from obliviate.workflow import TrainedModel


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


def make_shadows(
    entries: Sequence[tuple[TrainedModel, Manifest]],
    split: Split,
    earlier: Sequence[tuple[Manifest, Split]],
    pool: ReferencePool,
    experiment: Experiment,
    makers: Makers,
    progress_of: Callable[[str], Progress],
    teachers_of: Callable[[int], ReferencePool],
) -> tuple[dict[str, ShadowPool], list[str]]:
    """Make shadows for every unlearned model, by its label; and say of which models there are none, and why.

    `earlier` are the models that served before, each with the request that it came of; `teachers_of` opens as many
    teachers as their manifests say.
    """
    shadows: dict[str, ShadowPool] = {}
    notes = []
    for model, manifest in entries:
        if model.role != "unlearned":
            continue
        try:
            shadows[model.label] = workflow.train_shadows(
                experiment,
                pool,
                [_made_by(*entry, experiment.recipe) for entry in (*earlier, (manifest, split))],
                teachers=_teachers([manifest, *(served for served, _ in earlier)], teachers_of),
                workers=makers.workers,
                executor=makers.executor,
                progress=progress_of(model.label),
            )
        except (MethodError, TrainingError) as error:
            notes.append(f"{model.label} was audited without U-LiRA, for it has no shadows: {error}")
    return shadows, notes


def _teachers(manifests: Sequence[Manifest], teachers_of: Callable[[int], ReferencePool]) -> ReferencePool | None:
    """The teachers of models that were made one after the other, None if they had none."""
    counts = sorted({count for manifest in manifests if (count := manifest.settings.get("taught_by"))})
    if len(counts) > 1:
        raise MethodError(
            f"expected requests that learned from the same number of teachers, got {counts}; unlearn with the same "
            "--teachers, or audit without shadows"
        )
    return teachers_of(counts[0]) if counts else None


def _made_by(manifest: Manifest, split: Split, recipe: Recipe) -> tuple[Split, Method]:
    """The split that a method was given which made a model, and the method, as it was set."""
    described = manifest.settings.get("method")
    if described is None:
        raise MethodError(
            f"expected the method in the model's manifest, got {manifest.method} only, which is of an earlier "
            "version or cannot be written down; unlearn again"
        )
    method = methods.from_dict(described)
    request = split if manifest.settings["retain"] else split.without_retain()
    if repr(settled := settle(method, request, Scale.of(recipe))) != manifest.method:
        raise MethodError(f"expected {manifest.method}, got {settled!r} from this version; unlearn again")
    return request, method
