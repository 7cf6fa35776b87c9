"""The audit: how an unlearned model compares with retrained ones, in figures, intervals and one verdict.

Every candidate and every reference is scored on the same samples, so differences are paired. Verdicts rest on online
RMIA over forget (as member) against unseen, on forget accuracy and on test accuracy; see `metrics.forgetting.judge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.attacks.membership import rmia
from obliviate.attacks.membership.moments import Moments
from obliviate.errors import AuditError
from obliviate.metrics.cost import share_of_retraining
from obliviate.metrics.forgetting import Verdict, average_gap, density, judge, margin_bins, tpr_at
from obliviate.metrics.intervals import Interval, auc, clopper_pearson, delong, delong_difference, mean_difference
from obliviate.metrics.utility import correct, margin

Role = Literal["original", "retrained", "unlearned"]

LEAST_RETRAINED = 2
# Below 1e-4 no audit has the samples to resolve a rate.
ROC_FPR = np.logspace(-4, 0, 121)
# The game of each attack figure: (members, non-members).
PAIRS = {"ft": ("forget", "unseen"), "fr": ("retain", "forget"), "rt": ("retain", "unseen")}


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One model to audit: its logits over the pool population and where it comes from; `seconds` made it."""

    name: str
    role: Role
    method: str
    seed: int
    logits: Float[np.ndarray, "pool c"]
    seconds: float | None
    weights_sha256: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The reference models: logits over training and held-out samples, and who trained on what."""

    logits: Float[np.ndarray, "models pool c"]
    included: Bool[np.ndarray, "models pool"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Games:
    """The labels of the pool population, and which of its indices are forget, retain and unseen samples."""

    labels: Int[np.ndarray, " pool"]
    forget: Int[np.ndarray, " f"]
    retain: Int[np.ndarray, " r"]
    unseen: Int[np.ndarray, " u"]


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Settings of the audit; `margin` is a fraction of AUC and accuracy, `utility_margin` of test accuracy."""

    gamma: float = 2.0
    temperature: float = 2.0
    confidence: float = 0.95
    margin: float = 0.05
    utility_margin: float = 0.03


@dataclass(frozen=True, kw_only=True)
class ModelAudit:
    """What the audit found on one model; accuracies, AUCs, gaps and differences in percent, curves in fractions."""

    name: str
    role: Role
    method: str
    seed: int
    settings: dict[str, object]
    accuracy: dict[str, float]
    accuracy_interval: dict[str, list[float]]
    attacks: dict[str, dict[str, dict[str, float]]]
    average_gap: float
    difference: dict[str, dict[str, float]]
    seconds: float | None
    share_of_retraining: float | None
    weights_sha256: str
    verdict: Verdict
    reason: str
    curves: dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """The audit of every candidate, the retrain-vs-retrain floor and the edges of the margin histograms.

    Margins in `settings` are in percentage points, like the differences that they bound.
    """

    settings: dict[str, Any]
    floor: dict[str, float]
    margin_bins: list[float]
    models: tuple[ModelAudit, ...]

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON."""
        result = asdict(self)
        return result | {"models": list(result["models"])}


@dataclass(frozen=True)
class _Scored:
    candidate: Candidate
    correct: dict[str, np.ndarray]
    margins: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]

    def pair(self, attack: str, game: str) -> tuple[np.ndarray, np.ndarray]:
        members, others = PAIRS[game]
        return self.scores[attack][members], self.scores[attack][others]


@dataclass(frozen=True)
class _Context:
    settings: AuditSettings
    retraining_seconds: float | None
    bins: np.ndarray


def audit(candidates: Sequence[Candidate], pool: Pool, games: Games, settings: AuditSettings) -> AuditResult:
    """Audit every candidate against the retrained ones, a retrained one against the other retrained ones.

    The offline attack's `a` is fitted on the pool, whose unseen samples are the population z. `share_of_retraining`
    is a fraction of the median time of the retrained candidates; `average_gap` compares with their mean figures.
    Raises AuditError, before any score is computed, unless there are at least 2 retrained candidates, names and games
    do not overlap, shapes agree, logits are finite, and every sample of a game is in some references, out of others.
    """
    _check(candidates, pool, games)
    parts = {"forget": games.forget, "retain": games.retain, "unseen": games.unseen}
    points = np.concatenate(list(parts.values()))
    ends = np.cumsum([len(part) for part in parts.values()])
    positions = dict(zip(parts, np.split(np.arange(len(points)), ends[:-1]), strict=True))
    labels, included = games.labels[points], pool.included[:, points]
    moments, playing = Moments.empty(len(points)), []
    for logits, row in zip(pool.logits, included, strict=True):
        values = rmia.confidence(logits[points], labels, temperature=settings.temperature)
        moments = moments.add(values, row)
        if len(playing) < rmia.MOST_TARGETS:
            playing.append((values, row))
    population, gamma = positions["unseen"], settings.gamma
    a = rmia.fit_offline_a(playing, moments, population, gamma=gamma)

    def score(candidate: Candidate) -> _Scored:
        logits = candidate.logits[points]
        target = rmia.confidence(logits, labels, temperature=settings.temperature)
        scores = {
            "rmia": rmia.online(target, moments, population, gamma=gamma),
            "rmia_offline": rmia.offline(target, moments, population, a=a, gamma=gamma),
        }
        return _Scored(
            candidate,
            correct=_by_game(correct(logits, labels).astype(np.float64), positions),
            margins=_by_game(margin(logits, labels), positions),
            scores={attack: _by_game(values, positions) for attack, values in scores.items()},
        )

    scored = [score(candidate) for candidate in candidates]
    retrained = [one for one in scored if one.candidate.role == "retrained"]
    times = [one.candidate.seconds for one in retrained if one.candidate.seconds is not None]
    context = _Context(
        settings,
        float(np.median(times)) if times else None,
        margin_bins(np.concatenate([m for one in scored for m in one.margins.values()])),
    )
    models = tuple(_audit_one(one, [other for other in retrained if other is not one], context) for one in scored)
    peers = [model for model in models if model.role == "retrained"]
    sizes = {name: len(part) for name, part in parts.items()}
    return AuditResult(
        settings=asdict(settings)
        | {"margin": 100 * settings.margin, "utility_margin": 100 * settings.utility_margin}
        | {"offline_a": a, "references": moments.references}
        | sizes,
        floor={
            "average_gap_mean": float(np.mean([model.average_gap for model in peers])),
            "average_gap_max": max(model.average_gap for model in peers),
            "ft_auc_min": min(model.attacks["rmia"]["ft"]["auc"] for model in peers),
            "ft_auc_max": max(model.attacks["rmia"]["ft"]["auc"] for model in peers),
            "retrained": len(peers),
        },
        margin_bins=context.bins.tolist(),
        models=models,
    )


def _audit_one(one: _Scored, others: list[_Scored], context: _Context) -> ModelAudit:
    candidate, settings = one.candidate, context.settings
    exact = {
        name: clopper_pearson(int(right.sum()), len(right), confidence=settings.confidence)
        for name, right in (
            ("forget", one.correct["forget"]),
            ("retain", one.correct["retain"]),
            ("test", one.correct["unseen"]),
        )
    }
    attacks = {}
    for attack in one.scores:
        found = {game: delong(*one.pair(attack, game), confidence=settings.confidence) for game in PAIRS}
        attacks[attack] = {
            game: {"auc": 100 * i.value, "low": 100 * i.low, "high": 100 * i.high} for game, i in found.items()
        }
    ft = delong_difference(one.pair("rmia", "ft"), [other.pair("rmia", "ft") for other in others])
    forget, test = (
        mean_difference(one.correct[game], [other.correct[game] for other in others]) for game in ("forget", "unseen")
    )
    verdict, reason = judge(ft, forget, test, margin=settings.margin, utility_margin=settings.utility_margin)
    spent, full = candidate.seconds, context.retraining_seconds
    return ModelAudit(
        name=candidate.name,
        role=candidate.role,
        method=candidate.method,
        seed=candidate.seed,
        settings=dict(candidate.settings),
        accuracy={name: 100 * interval.value for name, interval in exact.items()},
        accuracy_interval={name: [100 * interval.low, 100 * interval.high] for name, interval in exact.items()},
        attacks=attacks,
        average_gap=average_gap(_figures(one), np.mean([_figures(other) for other in others], axis=0).tolist()),
        difference={"ft_auc": _percent(ft), "forget_accuracy": _percent(forget), "test_accuracy": _percent(test)},
        seconds=spent,
        share_of_retraining=share_of_retraining(spent, full) if spent is not None and full else None,
        weights_sha256=candidate.weights_sha256,
        verdict=verdict,
        reason=reason,
        curves={
            "roc_ft": {"fpr": ROC_FPR.tolist(), "tpr": tpr_at(*one.pair("rmia", "ft"), ROC_FPR).tolist()},
            "margins": {name: density(values, context.bins).tolist() for name, values in one.margins.items()},
        },
    )


def _figures(one: _Scored) -> list[float]:
    accuracies = [100 * float(one.correct[game].mean()) for game in ("forget", "retain", "unseen")]
    return [*accuracies, 100 * auc(*one.pair("rmia", "ft"))]


def _percent(interval: Interval) -> dict[str, float]:
    return {name: 100 * limit for name, limit in asdict(interval).items()}


def _by_game(values: np.ndarray, positions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values[index] for name, index in positions.items()}


def _check(candidates: Sequence[Candidate], pool: Pool, games: Games) -> None:
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        raise AuditError(f"expected distinct names, got {names}; rename the candidates")
    retrained = sum(candidate.role == "retrained" for candidate in candidates)
    if retrained < LEAST_RETRAINED:
        raise AuditError(
            f"expected at least {LEAST_RETRAINED} retrained models, got {retrained}; retrain without the forget set "
            "under 3 seeds, so that every figure has a retrain-vs-retrain floor"
        )
    n = len(games.labels)
    if pool.logits.ndim != 3 or pool.logits.shape[1] != n or pool.included.shape != pool.logits.shape[:2]:
        raise AuditError(
            f"expected pool logits (models, {n}, c) and included (models, {n}), got {pool.logits.shape} and "
            f"{pool.included.shape}; score every reference on the {n} labelled samples"
        )
    for name, logits in [(c.name, c.logits) for c in candidates] + [("a reference", one) for one in pool.logits]:
        if logits.shape != pool.logits.shape[1:]:
            raise AuditError(
                f"expected logits of shape {pool.logits.shape[1:]}, got {logits.shape} from {name}; score the pool"
            )
        if not np.isfinite(logits).all():
            raise AuditError(f"expected finite logits, got NaN or infinity from {name}; the model has diverged")
    parts = {"forget": games.forget, "retain": games.retain, "unseen": games.unseen}
    for name, part in parts.items():
        if len(part) < 2 or part.dtype.kind not in "iu" or part.min() < 0 or part.max() >= n:
            raise AuditError(
                f"expected at least 2 indices in [0, {n}) for {name}, got {part}; choose samples of the pool"
            )
    points = np.concatenate(list(parts.values()))
    if shared := len(points) - len(np.unique(points)):
        raise AuditError(
            f"expected every sample in one game, got {shared} repeated; make forget, retain, unseen disjoint"
        )
    for name, part in parts.items():
        seen = pool.included[:, part].mean(axis=0)
        if one_sided := int(((seen == 0) | (seen == 1)).sum()):
            raise AuditError(
                f"expected every {name} sample in some references and out of others, got {one_sided} of {len(part)} in "
                "all or in none; such points bias the attack, so train references on a plan that covers them"
            )
