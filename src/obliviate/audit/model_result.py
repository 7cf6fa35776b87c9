"""What results say of one model."""

from __future__ import annotations

from typing import Final

import numpy as np

from obliviate import membership
from obliviate.audit.class_membership import class_membership, forgotten_classes
from obliviate.audit.controls import Controls
from obliviate.audit.distances import to_retrained
from obliviate.audit.examined import Context, Examined
from obliviate.audit.exposure import exposure
from obliviate.audit.percent import percent, rate, share
from obliviate.audit.scored import GAMES, Scored
from obliviate.audit.utility import Utility
from obliviate.metrics.cost import share_of_retraining
from obliviate.metrics.forgetting import average_gap, density, tpr_at
from obliviate.metrics.intervals import balanced_accuracy, delong
from obliviate.results.attacks import AttackOutcome, TestedDifference
from obliviate.results.model import Accuracies, Curves, MarginDensities, ModelResult, RocCurve, UtilityFigure
from obliviate.results.values import Interval, Unit

ROC_FPR: Final = np.logspace(-4, 0, 121)  # below 1e-4 no audit has the samples to resolve a rate
RATES: Final = (0.01, 0.001)
LISTED: Final = 20  # recalls of a model that results hold: those that fell most


def model_result(examined: Examined, context: Context, controls: Controls) -> ModelResult:
    """What results say of a candidate."""
    scored, settings, comparison = examined.scored, context.settings, context.comparison
    candidate, lead = scored.candidate, scored.lead
    accuracies = {
        name: percent(share(right, settings.confidence))
        for name, right in zip(("forget", "retain", "test"), scored.correct.values(), strict=True)
    }
    judged = examined.judged(examined.utility.usefulness, context, controls)
    peers = comparison.others(scored)
    others = [other.figures for other in peers]
    spent, full = candidate.seconds, context.seconds
    fpr, tpr = ROC_FPR.tolist(), tpr_at(*scored.pair(lead), ROC_FPR).tolist()
    margins = {name: tuple(density(values, context.bins).tolist()) for name, values in scored.margin.items()}
    return ModelResult(
        name=candidate.name,
        role=candidate.role,
        method=candidate.method,
        seed=candidate.seed,
        settings=dict(candidate.settings),
        accuracy=Accuracies(**accuracies),
        attacks=_outcomes(examined, context),
        average_gap=average_gap(scored.figures, np.mean(others, axis=0).tolist()) if others else None,
        test_accuracy_difference=percent(examined.utility.accuracy.difference.interval()),
        utility=_listed(examined.utility),
        damage=judged.damage,
        seconds=spent,
        share_of_retraining=share_of_retraining(spent, full) if spent is not None and full else None,
        weights_sha256=candidate.weights_sha256,
        verdict=judged.verdict,
        margin=100 * judged.margin,
        resolution=100 * judged.resolution,
        reason=judged.reason,
        exposure=exposure(*scored.pair(lead), context.names, context.samples.classes(context.samples.forget)),
        distances=to_retrained(candidate.logits, [other.candidate.logits for other in peers], context.samples.parts)
        if peers and context.samples.labels is not None
        else None,
        cheap_attacks=_cheap_attacks(scored, context) if settings.cheap_attacks else {},
        class_membership=_class_membership(scored, context),
        klom=None if scored.shadows is None else scored.shadows.klom,
        competition=None if scored.shadows is None else scored.shadows.competition(context.kept_by(scored)),
        curves=Curves(roc_ft=RocCurve(fpr=fpr, tpr=tpr), margins=MarginDensities(**margins)),
    )


def _outcomes(examined: Examined, context: Context) -> dict[str, AttackOutcome]:
    """What every attack found on a model."""
    scored, attacks, confidence = examined.scored, context.comparison.attacks, context.settings.confidence
    differences = {
        evidence.attack: TestedDifference(
            **percent(evidence.interval()).model_dump(),
            p_above=evidence.p_above(),
            p_below=evidence.p_below(),
            resolution=100 * evidence.resolution(),
        )
        for evidence in examined.evidence
    }
    outcomes = {}
    for name in scored.scores:
        aucs = {game: percent(delong(*scored.pair(name, game), confidence=confidence)) for game in GAMES}
        rates = tuple(rate(scored.pair(name), fpr) for fpr in RATES) if name in attacks.rated else ()
        outcomes[name] = AttackOutcome(**aucs, difference=differences.get(name), rates=rates)
    if scored.shadows is not None:
        for attack in attacks.by_shadows:
            interval = delong(*scored.shadows.pair(attack, scored.candidate), confidence=confidence)
            outcomes[attack.name] = AttackOutcome(ft=percent(interval), difference=differences.get(attack.name))
    return outcomes


def _cheap_attacks(scored: Scored, context: Context) -> dict[str, Interval]:
    """Balanced accuracy of every cheap attack that the samples allow, forget (as members) against unseen ones."""
    samples = context.samples
    target = samples.target(scored.outputs, context.comparison.attacks.knowledge)
    balanced = {}
    for attack in membership.cheap_attacks():
        if samples.labels is not None or "classes" not in attack.needs:
            scores = samples.by_part(attack(target))
            balanced[attack.name] = percent(balanced_accuracy(scores["forget"], scores["unseen"]))
    return balanced


def _class_membership(scored: Scored, context: Context) -> Interval | None:
    """The share of unseen samples of forgotten classes on which a model answers as the original does; None without."""
    samples, original, peers = context.samples, context.comparison.original, context.comparison.others(scored)
    if samples.labels is None or original is None:
        return None
    gone = forgotten_classes(samples.labels[samples.forget], samples.labels[samples.retain])
    rows = samples.unseen[np.isin(samples.labels[samples.unseen], gone)]
    answers = [model.candidate.logits[rows] for model in (scored, original, *peers)]
    share = class_membership(answers[0], answers[1], answers[2:], gone, confidence=context.settings.confidence)
    return None if share is None else percent(share)


def _listed(utility: Utility) -> tuple[UtilityFigure, ...]:
    """The figures of utility as results hold them: all that are of the whole, and the recalls that fell most."""
    recalls = [figure for figure in utility.figures if figure.classwise]
    recalls.sort(key=lambda figure: (not figure.lost, figure.difference.value))
    whole = [figure for figure in utility.figures if not figure.classwise]
    return tuple(
        UtilityFigure(
            figure=figure.name,
            part="retain" if figure.part == "retain" else "unseen",
            unit=figure.unit,
            value=_in_unit(figure.value, figure.unit),
            expected=_in_unit(figure.expected, figure.unit),
            difference=percent(figure.difference.interval()),
            margin=100 * figure.margin,
            resolved=bool(figure.resolved),
            lost=figure.lost,
        )
        for figure in [*whole, *recalls[:LISTED]]
    )


def _in_unit(value: float, unit: Unit) -> float:
    return float(np.exp(-value)) if unit == "perplexity" else value if unit == "R²" else 100 * value
