"""What an audit found, and the scores that it was found with."""

from __future__ import annotations

from dataclasses import dataclass, field

from obliviate.metrics.intervals import ScorePair
from obliviate.report import text
from obliviate.results.findings import Findings
from obliviate.results.model import ModelResult
from obliviate.results.tabular import Record, Table, Tabular


@dataclass(frozen=True, kw_only=True, repr=False)
class AuditResult(Tabular):
    """The audit of every candidate (`results.findings.Findings`).

    `scores` are the leading attack's of forget and of unseen samples on every model, by its name. `print(result)` and
    notebooks show a table; `result.to_frame()` and `result.to_csv(path)` have a row for every model, in percent.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     split = experiment.split(data.train.ids[:30])
    ...     result = ob.audit_models(experiment, [ob.train(experiment)], split, pool)
    >>> isinstance(result, ob.AuditResult), list(result.scores)
    (True, ['original'])
    >>> result
    AuditResult(original: ...)
    """

    findings: Findings
    scores: dict[str, ScorePair] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"AuditResult({', '.join(f'{model.name}: {text.verdict_in_words(model)}' for model in self.models)})"

    @property
    def models(self) -> tuple[ModelResult, ...]:
        """What was found on each model, in the order in which they were given."""
        return self.findings.models

    def records(self) -> list[Record]:
        """One row of plain numbers per model: accuracies and FT-AUC with their limits, gap, cost, verdict and reason.

        Accuracies, AUCs, gaps, margins and resolutions are in percent or points, times in seconds;
        `share_of_retraining` is a fraction.
        """
        return text.records(self.findings)

    def table(self) -> Table:
        """The table of `format_table`."""
        return text.table(self.findings)
