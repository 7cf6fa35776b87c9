"""How every model of an audit compares with models that never saw the forget set, and the verdict on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from obliviate.audit.controls import Controls, Yardstick, check_yardsticks, control
from obliviate.audit.distances import to_retrained
from obliviate.audit.figures import Unit, View, views
from obliviate.audit.inputs import LEAST_RETRAINED, AuditSettings, Candidate, Games, Pool, check, check_classes
from obliviate.audit.panel import DECISIVE, PARTS, Ground, Panel
from obliviate.audit.result import AuditResult, ModelAudit
from obliviate.audit.screens import screen
from obliviate.audit.signals import Signals
from obliviate.audit.unlearned import NAME as ULIRA
from obliviate.audit.unlearned import UnlearnedPanel
from obliviate.audit.utility import Bar, Blindfold, Utility, bar, utility
from obliviate.audit.verdict import CERTAIN, LEVEL, Evidence, Judgement, Margins, Usefulness, judge
from obliviate.audit.worst import worst
from obliviate.audit.yardstick import Blind, Pair, References, Retrained, Spread
from obliviate.metrics.cost import share_of_retraining
from obliviate.metrics.forgetting import average_gap, density, margin_bins, tpr_at
from obliviate.metrics.intervals import Interval, auc, clopper_pearson, delong, mean_difference
from obliviate.metrics.rates import tpr_at_fpr
from obliviate.metrics.two_sample import classifier_two_sample

# Below 1e-4 no audit has the samples to resolve a rate.
ROC_FPR = np.logspace(-4, 0, 121)
RATES = (0.01, 0.001)
PERMUTATIONS = (59, 199)  # of the two-sample test: more where few leave a doubt, and p can be 1/200
DOUBT, SUSPICIOUS = 0.05, 0.01
FOLDS = 5
MOST_CLASSES = 50  # whose labels are features of that test
MOST_FORGOTTEN = 0.3  # of a class, whose utility is not compared with that of models which had more of it
LISTED = 20  # recalls of a model that results hold: those that fell most
# The game of each attack figure: (members, non-members).
GAMES = {"ft": ("forget", "unseen"), "fr": ("retain", "forget"), "rt": ("retain", "unseen")}


@dataclass(frozen=True, eq=False)
class _Scored:
    """A candidate with its signals and its scores, each taken apart into forget, retain and unseen."""

    candidate: Candidate
    signals: Signals
    correct: dict[str, np.ndarray]
    margin: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]
    unlearned: UnlearnedPanel | None

    def pair(self, attack: str, game: str = "ft") -> Pair:
        members, others = GAMES[game]
        return self.scores[attack][members], self.scores[attack][others]

    @property
    def useful(self) -> np.ndarray:
        """Retain and test accuracy."""
        return np.array([self.correct[part].mean() for part in ("retain", "unseen")])

    @property
    def figures(self) -> list[float]:
        """Forget, retain and test accuracy and FT-AUC in percent: what the average gap is made of."""
        return [*(100 * float(right.mean()) for right in self.correct.values()), 100 * auc(*self.pair("rmia"))]


@dataclass(frozen=True, eq=False)
class _Yardsticks:
    """What models are compared with."""

    retrained: list[_Scored]
    paired: dict[str, Retrained]
    references: dict[str, References]
    spread: dict[str, Spread]
    pool: Pool
    original: _Scored | None
    views: list[View]
    inside: list[Blindfold]  # references on retained samples that they had, and on unseen ones that they had not
    outside: list[Blindfold]  # on samples that they had not
    half: bool  # whether as many samples are retained as a reference is trained on, or more

    def others(self, scored: _Scored) -> list[_Scored]:
        """The retrained models other than this one; none where there are too few to be a yardstick."""
        return [other for other in self.retrained if other is not scored] if self.paired else []

    def evidence(self, scored: _Scored) -> list[Evidence]:
        """What every attack that the verdict rests on says of a model."""
        place = next((place for place, other in enumerate(self.retrained) if other is scored), None)
        if self.paired:
            evidence = [
                self.paired[name].evidence(name, scored.pair(name), self.spread[name], leave_out=place)
                for name in DECISIVE
            ]
        else:
            evidence = [self.references[name].evidence(name, scored.pair(name), self.spread[name]) for name in DECISIVE]
        return evidence if scored.unlearned is None else [*evidence, self._unlearned(scored, scored.unlearned)]

    def _unlearned(self, scored: _Scored, panel: UnlearnedPanel) -> Evidence:
        """What U-LiRA says: the same yardstick models, under the shadows of this one."""
        references = panel.references(self.pool)
        paired = Retrained.of([panel.pair(other.candidate) for other in self.retrained]) if self.paired else None
        spread = _spread(references, paired)
        return (paired or references).evidence(ULIRA, panel.pair(scored.candidate), spread)

    def utility(self, scored: _Scored, margin: float) -> Utility:
        """How useful a model is, beside the other retrained models, the original, or the references."""
        if others := self.others(scored):
            against = "the retrained models have"
        elif self.original is not None:
            others, against = [self.original], "the original has"
        else:
            against = "the references have"
        return utility(self.bars(others), scored.signals, margin=margin, against=against)

    def bars(self, others: Sequence[_Scored]) -> list[Bar]:
        """What every figure of utility should be, by some models, or by the references where there are none."""
        retrained = all(model.candidate.role == "retrained" for model in others)
        bars = []
        for view, inside in zip(self.views, self.inside, strict=True):
            whole = np.ones(len(view.index), dtype=bool)
            values = [view.read(model.signals, whole) for model in others]
            bars.append(bar(view, values, inside, values if retrained else []))
        return bars

    @cached_property
    def bars_unseen(self) -> list[Bar]:
        """What the references have on samples that they were not trained on."""
        return [bar(view, [], outside, []) for view, outside in zip(self.views, self.outside, strict=True)]

    @cached_property
    def bars_of_original(self) -> list[Bar] | None:
        """What the original has; None where there is none."""
        return None if self.original is None else self.bars([self.original])

    def tested(self, scored: _Scored, margin: float) -> Yardstick:
        """What is looked at of a retrained model before it is a yardstick."""

        def beside(bars: list[Bar]) -> Utility:
            return utility(bars, scored.signals, margin=margin, against="")

        others, original = self.others(scored), self.bars_of_original
        return Yardstick(
            name=scored.candidate.name,
            beside=beside(self.bars(others)) if others else None,
            references=beside(self.bars_unseen),
            original=None if original is None else beside(original),
            knowledge=[
                self.references[name].evidence(name, scored.pair(name), _spread(self.references[name], None))
                for name in DECISIVE
            ],
            half=self.half,
        )


def audit(candidates: Sequence[Candidate], pool: Pool, games: Games, settings: AuditSettings) -> AuditResult:
    """Audit every candidate against models that never saw the forget set.

    With 2 or more retrained candidates these are the yardstick, for each of them the others. With fewer it is the pool:
    every reference is attacked, by the others, on the samples that it never saw; utility is compared with the
    original's, or with that of the references. Nobody is acquitted where the controls failed (`controls`). The offline
    attack's `a` is fitted on the pool, whose unseen samples are the population z. `share_of_retraining` is a fraction
    of the median time of the retrained candidates. Raises AuditError, before any score is computed, unless names and
    games do not overlap, shapes agree and every sample of a game is in 2 references and out of 2; for logits that are
    not finite; for a retrained model that is no yardstick, by name (`controls.check_yardsticks`); and, without
    retrained models, for a forget set that leaves no sample of some class, for no reference went without that class.
    Without them, forget samples that are of a kind (`Games.grouped`, or by the two-sample test) can be shown to leak,
    and no more.
    """
    check(candidates, pool, games)
    retrained = [candidate for candidate in candidates if candidate.role == "retrained"]
    if games.labels is not None:
        check_classes(games.labels[games.forget], games.labels[games.retain], retrained=len(retrained))
    ground = Ground.of(pool, games, settings)
    panel = ground.panel(pool)
    scored = [_score(candidate, ground, panel, games) for candidate in candidates]
    yardsticks = _yardsticks(scored, ground, panel, pool, games)
    check_yardsticks([yardsticks.tested(model, settings.utility_margin) for model in yardsticks.retrained])
    times = [candidate.seconds for candidate in retrained if candidate.seconds is not None]
    twin = _two_sample(panel, ground)
    context = _Context(
        settings=settings,
        yardsticks=yardsticks,
        seconds=float(np.median(times)) if times else None,
        bins=margin_bins(np.concatenate([part for model in scored for part in model.margin.values()])),
        games=games,
        useful=_useful(scored),
        one_sided=not yardsticks.paired and bool(games.grouped or twin["differs"]),
    )
    seen = [_Seen.of(model, context) for model in scored]
    controls = _controls(seen, context)
    models = tuple(_audited(model, context, controls) for model in seen)
    return AuditResult(
        settings=asdict(settings)
        | {"margin": None if settings.margin is None else 100 * settings.margin}
        | {"utility_margin": 100 * settings.utility_margin, "one_sided": context.one_sided}
        | {"offline_a": panel.a, "references": len(pool.logits)}
        | {name: len(part) for name, part in games.parts.items()},
        yardstick="retrained" if yardsticks.paired else "references",
        controls=asdict(controls)
        | {"condemned": list(controls.condemned), "passed": controls.passed}
        | {"ceilings": {name: 100 * value for name, value in controls.ceilings.items()}},
        floor=_floor(models, yardsticks),
        two_sample=twin,
        margin_bins=context.bins.tolist(),
        models=models,
        scores={model.candidate.name: model.pair("rmia") for model in scored},
    )


@dataclass(frozen=True, eq=False)
class _Context:
    settings: AuditSettings
    yardsticks: _Yardsticks
    seconds: float | None  # of one retraining
    bins: np.ndarray
    games: Games
    one_sided: bool  # whether the yardstick can convict but not acquit
    useful: np.ndarray | None  # retain and test accuracy of the retrained models, None without any

    def kept_by(self, scored: _Scored) -> float | None:
        """The share of the retrained models' retain and test accuracy that a model has; None without any."""
        return None if self.useful is None else float((scored.useful / self.useful).prod())

    @property
    def names(self) -> np.ndarray:
        """What the forget samples are called."""
        forget = self.games.forget
        return forget.astype(str) if self.games.ids is None else self.games.ids[forget]


@dataclass(frozen=True, eq=False)
class _Seen:
    """A candidate with what the attacks and the figures of utility say of it."""

    scored: _Scored
    evidence: list[Evidence]
    utility: Utility

    @classmethod
    def of(cls, scored: _Scored, context: _Context) -> _Seen:
        yardsticks = context.yardsticks
        return cls(scored, yardsticks.evidence(scored), yardsticks.utility(scored, context.settings.utility_margin))

    def judged(self, usefulness: Usefulness, context: _Context, controls: Controls | None = None) -> Judgement:
        """The verdict; one audit in a hundred condemns any of its retrained models by chance."""
        yardsticks = context.yardsticks
        alike = len(yardsticks.retrained) if self.scored.candidate.role == "retrained" else 0
        return judge(
            self.evidence,
            usefulness,
            Margins(preset=context.settings.margin),
            yardstick="the retrained models" if yardsticks.paired else "references that never saw it",
            one_sided=context.one_sided,
            uncontrolled="" if controls is None else controls.reason,
            ceilings={} if controls is None else controls.ceilings,
            level=CERTAIN / alike if alike else LEVEL,
        )


def _controls(seen: Sequence[_Seen], context: _Context) -> Controls:
    """Whether the original is told, by the attacks alone, and no retrained model is condemned."""
    of = {role: [model for model in seen if model.scored.candidate.role == role] for role in ("original", "retrained")}
    original = of["original"][0] if of["original"] else None
    return control(
        None if original is None else original.judged(Usefulness(), context),
        [] if original is None else original.evidence,
        {model.scored.candidate.name: model.judged(model.utility.usefulness, context) for model in of["retrained"]},
        Margins(preset=context.settings.margin),
        forget=len(context.games.forget),
    )


def _useful(scored: Sequence[_Scored]) -> np.ndarray | None:
    """The mean retain and test accuracy of the retrained models; None where there are none, or one is 0."""
    useful = [model.useful for model in scored if model.candidate.role == "retrained"]
    mean = np.mean(useful, axis=0) if useful else np.zeros(2)
    return mean if mean.all() else None


def _score(candidate: Candidate, ground: Ground, panel: Panel, games: Games) -> _Scored:
    signals = ground.signals(candidate.logits, whose=candidate.name)
    scores = {attack: ground.by_part(values) for attack, values in panel.scores(signals).items()}
    unlearned = None if candidate.shadows is None else UnlearnedPanel.of(candidate.shadows, games)
    correct, margin = ground.by_part(signals.correct), ground.by_part(signals.margin)
    return _Scored(candidate, signals, correct, margin, scores, unlearned)


def _yardsticks(scored: Sequence[_Scored], ground: Ground, panel: Panel, pool: Pool, games: Games) -> _Yardsticks:
    retrained = [model for model in scored if model.candidate.role == "retrained"]
    blind: dict[str, list[Blind]] = {name: [] for name in DECISIVE}
    looked_at = views(
        games,
        {name: np.flatnonzero(ground.parts == place) for place, name in enumerate(PARTS)},
        columns=int(scored[0].candidate.logits.shape[1]),
        spared=() if len(retrained) >= LEAST_RETRAINED else _mostly_forgotten(games),
    )
    inside = [Blindfold(view, trained=view.part == "retain") for view in looked_at]
    outside = [Blindfold(view, trained=False) for view in looked_at]
    for signals, included in ground.references(pool):
        scores, never = panel.blind(signals, included), ground.by_part(~included)
        for name in DECISIVE:
            parts = ground.by_part(scores[name])
            pair = parts["forget"][never["forget"]], parts["unseen"][never["unseen"]]
            blind[name].append(Blind(pair, never["forget"], never["unseen"]))
        for gathered in (*inside, *outside):
            gathered.add(signals, included)
    references = {name: References.of(blinds) for name, blinds in blind.items()}
    paired = (
        {name: Retrained.of([model.pair(name) for model in retrained]) for name in DECISIVE}
        if len(retrained) >= LEAST_RETRAINED
        else {}
    )
    spread = {name: _spread(references[name], paired.get(name)) for name in DECISIVE}
    original = next((model for model in scored if model.candidate.role == "original"), None)
    return _Yardsticks(
        retrained=retrained if paired else [],
        paired=paired,
        references=references,
        spread=spread,
        pool=pool,
        original=original,
        views=looked_at,
        inside=inside,
        outside=outside,
        half=bool(len(games.retain) >= pool.included.sum(axis=1).min()),
    )


def _mostly_forgotten(games: Games) -> list[int]:
    """The classes that lose so many samples that a retrained model would know less of them than the original."""
    if games.labels is None:
        return []
    counts = np.bincount(games.labels[games.forget], minlength=int(games.labels.max()) + 1)
    kept = np.bincount(games.labels[games.retain], minlength=len(counts))
    forgotten = np.flatnonzero(counts > MOST_FORGOTTEN * (counts + kept))
    return forgotten.tolist() if len(np.setdiff1d(games.labels[games.unseen], forgotten)) else []


def _spread(references: References, retrained: Retrained | None) -> Spread:
    """How far models that never saw the forget set lie apart beyond sampling, from all of them."""
    groups = [(references.values, references.sampling)]
    return Spread.of(*groups, *([] if retrained is None else [(retrained.values, retrained.noise)]))


def _audited(seen: _Seen, context: _Context, controls: Controls) -> ModelAudit:
    scored, evidence, settings, yardsticks = seen.scored, seen.evidence, context.settings, context.yardsticks
    candidate = scored.candidate
    exact = {
        name: _share(right, settings.confidence)
        for name, right in zip(("forget", "retain", "test"), scored.correct.values(), strict=True)
    }
    attacks = {}
    for attack in scored.scores:
        aucs = {game: delong(*scored.pair(attack, game), confidence=settings.confidence) for game in GAMES}
        attacks[attack] = {game: _auc(interval) for game, interval in aucs.items()}
    if scored.unlearned is not None:
        attacks[ULIRA] = {"ft": _auc(delong(*scored.unlearned.pair(candidate), confidence=settings.confidence))}
    judged = seen.judged(seen.utility.usefulness, context, controls)
    peers = yardsticks.others(scored)
    others = [other.figures for other in peers]
    exposed = worst(*scored.pair("rmia"), context.names, context.games.classes(context.games.forget))
    spent, full = candidate.seconds, context.seconds
    return ModelAudit(
        name=candidate.name,
        role=candidate.role,
        method=candidate.method,
        seed=candidate.seed,
        settings=dict(candidate.settings),
        accuracy={name: 100 * interval.value for name, interval in exact.items()},
        accuracy_interval={name: [100 * interval.low, 100 * interval.high] for name, interval in exact.items()},
        attacks=attacks,
        rates={name: [_rate(scored.pair(name), fpr) for fpr in RATES] for name in ("rmia", "lira")},
        average_gap=average_gap(scored.figures, np.mean(others, axis=0).tolist()) if others else None,
        difference={
            f"ft_{attack.attack}": _percent(attack.interval())
            | {"p_above": attack.p_above(), "p_below": attack.p_below(), "resolution": 100 * attack.resolution()}
            for attack in evidence
        }
        | {"test_accuracy": _percent(seen.utility.accuracy.difference.interval())},
        utility=_listed(seen.utility),
        damage=judged.damage,
        seconds=spent,
        share_of_retraining=share_of_retraining(spent, full) if spent is not None and full else None,
        weights_sha256=candidate.weights_sha256,
        verdict=judged.verdict,
        margin=100 * judged.margin,
        resolution=100 * judged.resolution,
        reason=judged.reason,
        worst={
            "shares": {level: _percent(share) for level, share in exposed.shares.items()},
            "samples": [asdict(sample) for sample in exposed.samples],
        },
        distances=to_retrained(candidate.logits, [other.candidate.logits for other in peers], context.games.parts)
        if peers and context.games.labels is not None
        else {},
        screens={
            name: _percent(interval)
            for name, interval in screen(candidate.logits, context.games.labels, context.games.parts).items()
        }
        if settings.screens
        else {},
        klom={} if scored.unlearned is None else scored.unlearned.klom,
        competition={} if scored.unlearned is None else scored.unlearned.competition(context.kept_by(scored)),
        curves={
            "roc_ft": {"fpr": ROC_FPR.tolist(), "tpr": tpr_at(*scored.pair("rmia"), ROC_FPR).tolist()},
            "margins": {name: density(values, context.bins).tolist() for name, values in scored.margin.items()},
        },
    )


def _listed(utility: Utility) -> list[dict[str, Any]]:
    """The figures of utility as results hold them: all that are of the whole, and the recalls that fell most."""
    recalls = [figure for figure in utility.figures if figure.classwise]
    recalls.sort(key=lambda figure: (not figure.lost, figure.difference.value))
    whole = [figure for figure in utility.figures if not figure.classwise]
    return [
        {
            "figure": figure.name,
            "part": figure.part,
            "unit": figure.unit,
            "value": _in_unit(figure.value, figure.unit),
            "expected": _in_unit(figure.expected, figure.unit),
            "difference": _percent(figure.difference.interval()),
            "margin": 100 * figure.margin,
            "resolved": figure.resolved,
            "lost": figure.lost,
        }
        for figure in [*whole, *recalls[:LISTED]]
    ]


def _in_unit(value: float, unit: Unit) -> float:
    return float(np.exp(-value)) if unit == "perplexity" else value if unit == "R²" else 100 * value


def _floor(models: Sequence[ModelAudit], yardsticks: _Yardsticks) -> dict[str, float | None]:
    """How far models that never saw the forget set lie apart: retrained ones, or references where there are none."""
    peers = [model for model in models if model.role == "retrained"] if yardsticks.paired else []
    gaps = [model.average_gap for model in peers if model.average_gap is not None]
    aucs = [model.attacks["rmia"]["ft"]["auc"] for model in peers] or list(100 * yardsticks.references["rmia"].values)
    return {
        "average_gap_mean": float(np.mean(gaps)) if gaps else None,
        "average_gap_max": max(gaps) if gaps else None,
        "ft_auc_min": float(min(aucs)),
        "ft_auc_max": float(max(aucs)),
        "retrained": len(peers),
    }


def _share(right: np.ndarray, confidence: float) -> Interval:
    """The mean share right: of samples that are right or wrong with its exact interval, else with the normal one."""
    if ((right == 0) | (right == 1)).all():
        return clopper_pearson(int(right.sum()), len(right), confidence=confidence)
    interval = mean_difference(right, [np.zeros(len(right))], confidence=confidence)
    return Interval(interval.value, max(interval.low, 0.0), min(interval.high, 1.0))


def _percent(interval: Interval) -> dict[str, float]:
    return {name: 100 * limit for name, limit in asdict(interval).items()}


def _auc(interval: Interval) -> dict[str, float]:
    return {"auc": 100 * interval.value, "low": 100 * interval.low, "high": 100 * interval.high}


def _rate(pair: Pair, fpr: float) -> dict[str, Any]:
    """The true-positive rate at a false-positive rate, in percent, or how many samples would tell."""
    rate = tpr_at_fpr(*pair, fpr)
    return {
        "fpr": 100 * fpr,
        "unseen_needed": rate.negatives_needed,
        "tpr": None if rate.tpr is None else _percent(rate.tpr),
        "realised_fpr": None if rate.realised_fpr is None else _percent(rate.realised_fpr),
    }


def _two_sample(panel: Panel, ground: Ground) -> dict[str, Any]:
    """Whether forget and unseen samples differ for models that never saw them, in difficulty or in class."""
    features = [panel.confidence.mean(inside=False), panel.margin.mean(inside=False)]
    if ground.labels is not None and len(classes := np.unique(ground.labels)) <= MOST_CLASSES:
        features += [(ground.labels == label).astype(np.float64) for label in classes[1:]]
    parts = [np.stack(features, axis=1)[ground.parts == PARTS.index(part)] for part in ("forget", "unseen")]
    if min(map(len, parts)) < FOLDS * 2:
        return {"auc": None, "p_value": None, "differs": None}
    few, more = PERMUTATIONS
    test = classifier_two_sample(*parts, folds=FOLDS, permutations=few)
    if test.p_value <= DOUBT:
        test = classifier_two_sample(*parts, folds=FOLDS, permutations=more)
    return {"auc": _auc(test.auc), "p_value": test.p_value, "differs": test.p_value <= SUSPICIOUS}
