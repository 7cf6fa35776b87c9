"""What an audit found, and the scores that it was found with."""

from __future__ import annotations

from dataclasses import dataclass, field

from obliviate.metrics.intervals import ScorePair
from obliviate.results.findings import Findings
from obliviate.results.model import ModelResult


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """The audit of every candidate (`results.findings.Findings`).

    `scores` are the leading attack's of forget and of unseen samples on every model, by its name.

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
    """

    findings: Findings
    scores: dict[str, ScorePair] = field(default_factory=dict, repr=False, compare=False)

    @property
    def models(self) -> tuple[ModelResult, ...]:
        """What was found on each model, in the order in which they were given."""
        return self.findings.models
