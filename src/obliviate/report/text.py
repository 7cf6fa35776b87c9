"""The result table as rows of text, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from obliviate.report.wording import extent, frozen
from obliviate.results.findings import Findings
from obliviate.results.model import ModelResult
from obliviate.results.tabular import Record, Table

FIRST: Final = ("model", "forget %", "retain %", "test %")
LAST: Final = ("FT-AUC ± 95 %", "gap", "seconds", "cost", "verdict")


@runtime_checkable
class Audited(Protocol):
    """What came of an audit: an `AuditResult`."""

    @property
    def findings(self) -> Findings: ...


def columns(findings: Findings) -> tuple[str, ...]:
    """The heads of the table: accuracies, other utility on unseen samples, forgetting, cost and verdict."""
    return (*FIRST, *_beside(findings), *LAST)


def rows(findings: Findings) -> list[tuple[str, ...]]:
    """One row of `columns` per model."""
    names = list(_beside(findings).values())
    return [_row(findings, model, names) for model in findings.models]


def _beside(findings: Findings) -> dict[str, str]:
    """The figures of utility beside accuracy, on unseen samples, by the heads of their columns."""
    heads = {}
    for model in findings.models:
        for figure in model.utility:
            if figure.part == "unseen" and figure.figure != "accuracy" and not figure.is_recall:
                percent = " %" if figure.unit == "percent" else ""
                heads[figure.figure.replace("balanced accuracy", "balanced") + percent] = figure.figure
    return heads


def format_table(result: Audited) -> str:
    """Lay the results of an audit out in columns, and say below what to compare them with, as `print(result)` does.

    `gap` is the mean distance to the retrained models in points, empty without them; `cost` the share of the time of
    one retraining.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     split = experiment.split(data.train.ids[:30])
    ...     result = ob.audit_models(experiment, [ob.train(experiment)], split, pool)
    >>> print(ob.format_table(result).splitlines()[0])
    model     forget %  retain %  test %  ...
    """
    return str(table(result.findings))


def table(findings: Findings) -> Table:
    """The table with its lines below."""
    return Table(heads=columns(findings), rows=rows(findings), notes=notes(findings))


def records(findings: Findings) -> list[Record]:
    """One row of plain numbers per model, unrounded, with the limits of their intervals."""
    return [_record(findings, model) for model in findings.models]


def _record(findings: Findings, model: ModelResult) -> Record:
    intervals = {
        "forget_accuracy": model.accuracy.forget,
        "retain_accuracy": model.accuracy.retain,
        "test_accuracy": model.accuracy.test,
        "ft_auc": findings.leading(model).ft,
    }
    record: Record = {"model": model.name, "role": model.role, "method": model.method, "seed": model.seed}
    for name, interval in intervals.items():
        record |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return record | {
        "average_gap": model.average_gap,
        "test_accuracy_difference": model.test_accuracy_difference.value,
        "seconds": model.seconds,
        "share_of_retraining": model.share_of_retraining,
        "margin": model.margin,
        "resolution": model.resolution,
        "verdict": model.verdict,
        "damage": model.damage,
        "reason": model.reason,
    }


def notes(findings: Findings) -> list[str]:
    """What to compare the figures with, the margin of the verdicts, and a warning where the samples differ.

    Columns that are empty are not explained.
    """
    floor = findings.floor
    against = "retrained models" if findings.baseline == "retrained" else "references that never saw them"
    margin = extent([model.margin for model in findings.models])
    never_saw = extent([floor.ft_auc_min, floor.ft_auc_max])
    gap = floor.average_gap_mean
    parts = [
        *([] if gap is None else [f"gap: average distance to the {against}, which differ by {gap:.2f} themselves."]),
        *(
            ["cost: share of the time of one retraining."]
            if any(model.share_of_retraining is not None for model in findings.models)
            else []
        ),
    ]
    lines = [
        f"FT-AUC: how well forgotten samples are told from unseen ones; {against}: {never_saw}.",
        f"Verdicts at margin {margin} points of AUC: smaller differences count as none.",
        *([" ".join(parts)] if parts else []),
    ]
    if not findings.controls.passed:
        lines.append(f"warning: nobody can be acquitted, for {findings.controls.reason}.")
    lines += [f"{model.name} is damaged: {model.damage}." for model in findings.models if model.damaged]
    if sentence := frozen(findings.models):
        lines.append(f"warning: {sentence[0].lower()}{sentence[1:]}")
    if findings.two_sample.differs:
        lines.append("warning: forgotten and unseen samples differ by themselves, so that 50 is not what to expect.")
    return lines


def competition(findings: Findings) -> list[str]:
    """The score of the NeurIPS 2023 competition, or what it would need, for every model that has shadows."""
    lines = []
    for model in findings.models:
        if (scored := model.competition) is None:
            continue
        if scored.quality is None or scored.floor is None:
            lines.append(
                f"{model.name}: the score of the NeurIPS 2023 competition needs at least {scored.shadows_needed} "
                "references with their shadows."
            )
            continue
        final = "" if scored.score is None else f", final score {scored.score:.3f}"
        lines.append(
            f"{model.name}: forgetting quality F of the NeurIPS 2023 competition {scored.quality:.3f}, where "
            f"{scored.floor:.3f} is that of models that never had the samples{final}."
        )
    return lines


def _row(findings: Findings, model: ModelResult, beside: Sequence[str]) -> tuple[str, ...]:
    accuracy, attack = model.accuracy, findings.leading(model).ft
    gap, seconds, share = model.average_gap, model.seconds, model.share_of_retraining
    unseen = {figure.figure: figure for figure in model.utility if figure.part == "unseen"}
    return (
        model.name,
        *(f"{share_right.value:.1f}" for share_right in (accuracy.forget, accuracy.retain, accuracy.test)),
        *(
            "" if name not in unseen else f"{unseen[name].value:.{1 if unseen[name].unit == 'percent' else 2}f}"
            for name in beside
        ),
        f"{attack.value:.1f} ± {attack.half:.1f}",
        "" if gap is None else f"{gap:.2f}",
        "" if seconds is None else f"{seconds:.1f}",
        "" if share is None else f"{100 * share:.0f} %",
        verdict_in_words(model),
    )


def verdict_in_words(model: ModelResult) -> str:
    """The verdict on a model, and whether it is damaged beside."""
    return f"{model.verdict}; damaged" if model.damaged else model.verdict
