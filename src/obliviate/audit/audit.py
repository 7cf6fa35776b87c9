"""How every model of an audit compares with models that never saw the forget set, and the verdict on each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from obliviate.audit import controls as controlling
from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.comparison import Comparison
from obliviate.audit.controls import check_baselines, control
from obliviate.audit.examined import Context, Examined
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, check, check_classes
from obliviate.audit.model_result import model_result
from obliviate.audit.result import AuditResult
from obliviate.audit.scored import Scored
from obliviate.audit.two_sample import shifted, two_sample
from obliviate.audit.verdict import Margins, Usefulness
from obliviate.metrics.forgetting import margin_bins
from obliviate.results.findings import Controls, Findings, Floor, Settings
from obliviate.results.model import ModelResult


def audit(candidates: Sequence[Candidate], pool: Pool, samples: AuditSamples, settings: AuditSettings) -> AuditResult:
    """Audit every candidate against models that never saw the forget set.

    With 2 or more retrained candidates these are the baseline, for each of them the others. With fewer it is the pool:
    every reference is attacked, by the others, on the samples that it never saw; utility is compared with the
    original's, or with that of the references. Nobody is acquitted where the controls failed (`controls`). What attacks
    fit, they fit on the pool, whose unseen samples are the population. `share_of_retraining` is a fraction of the
    median time of the retrained candidates.

    Raises AuditError, before any score is computed, unless names and parts do not overlap, shapes agree and every
    sample is in 2 references and out of 2; for attacks that need classes where there are none; for logits that are not
    finite; for a retrained model that is no baseline, by name (`controls.check_baselines`); and, without retrained
    models, for a forget set that leaves no sample of some class, for no reference went without that class.
    Without them, forget samples that are of a kind (`AuditSamples.grouped`, or by the two-sample test) can be shown to
    leak, and no more; and nothing is shown where unseen samples are of another kind than training samples
    (`two_sample.shifted`).
    """
    check(candidates, pool, samples)
    settings.check_classes(has_classes=samples.labels is not None)
    retrained = [candidate for candidate in candidates if candidate.role == "retrained"]
    if samples.labels is not None:
        check_classes(samples.labels[samples.forget], samples.labels[samples.retain], retrained=len(retrained))
    attacks = FittedAttacks.of(settings, samples, pool)
    scored = [Scored.of(candidate, attacks, samples) for candidate in candidates]
    comparison = Comparison.of(scored, attacks, pool, samples)
    shift = cache(partial(shifted, attacks, samples))
    check_baselines(
        [comparison.tested(model, settings.utility_margin) for model in comparison.retrained], shifted=shift
    )
    times = [candidate.seconds for candidate in retrained if candidate.seconds is not None]
    difference = two_sample(attacks, samples)
    context = Context(
        settings=settings,
        comparison=comparison,
        seconds=float(np.median(times)) if times else None,
        bins=margin_bins(np.concatenate([part for model in scored for part in model.margin.values()])),
        samples=samples,
        useful=_useful(scored),
        one_sided=not comparison.paired and bool(samples.grouped or difference.differs),
        unlike=not comparison.paired and shift(),
    )
    examined = [Examined.of(model, context) for model in scored]
    controls = _controls(examined, context)
    models = tuple(model_result(model, context, controls) for model in examined)
    findings = Findings(
        settings=Settings(
            confidence=settings.confidence,
            margin=None if settings.margin is None else 100 * settings.margin,
            utility_margin=100 * settings.utility_margin,
            one_sided=context.one_sided,
            cheap_attacks=settings.cheap_attacks,
            references=len(pool.logits),
            forget=len(samples.forget),
            retain=len(samples.retain),
            unseen=len(samples.unseen),
        ),
        attacks=attacks.described(),
        baseline="retrained" if comparison.paired else "references",
        controls=Controls(
            passed=controls.passed,
            reason=controls.reason,
            original=controls.original,
            condemned=controls.condemned,
            ceilings={name: 100 * value for name, value in controls.ceilings.items()},
            samples_needed=controls.samples_needed,
            models_needed=controls.models_needed,
        ),
        floor=_floor(models, comparison),
        two_sample=difference,
        margin_bins=tuple(context.bins.tolist()),
        models=models,
    )
    return AuditResult(findings=findings, scores={model.candidate.name: model.pair(attacks.lead) for model in scored})


def _controls(examined: Sequence[Examined], context: Context) -> controlling.Controls:
    """Whether the original is told, by the attacks alone, and no retrained model is condemned."""
    of = {
        role: [model for model in examined if model.scored.candidate.role == role] for role in ("original", "retrained")
    }
    original = of["original"][0] if of["original"] else None
    return control(
        None if original is None else original.judged(Usefulness(), context),
        [] if original is None else original.evidence,
        {model.scored.candidate.name: model.judged(model.utility.usefulness, context) for model in of["retrained"]},
        Margins(preset=context.settings.margin),
        forget=len(context.samples.forget),
    )


def _useful(scored: Sequence[Scored]) -> np.ndarray | None:
    """The mean retain and test accuracy of the retrained models; None where there are none, or one is 0."""
    useful = [model.useful for model in scored if model.candidate.role == "retrained"]
    mean = np.mean(useful, axis=0) if useful else np.zeros(2)
    return mean if mean.all() else None


def _floor(models: Sequence[ModelResult], comparison: Comparison) -> Floor:
    """How far models that never saw the forget set lie apart: retrained ones, or references where there are none."""
    lead = comparison.attacks.lead
    peers = [model for model in models if model.role == "retrained"] if comparison.paired else []
    gaps = [model.average_gap for model in peers if model.average_gap is not None]
    aucs = [model.attacks[lead].ft.value for model in peers] or list(100 * comparison.references[lead].values)
    return Floor(
        average_gap_mean=float(np.mean(gaps)) if gaps else None,
        average_gap_max=max(gaps) if gaps else None,
        ft_auc_min=float(min(aucs)),
        ft_auc_max=float(max(aucs)),
        retrained=len(peers),
    )
