"""How every model of an audit compares with models that never saw the forget set, and the verdict on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from obliviate import membership
from obliviate.audit import controls as controlling
from obliviate.audit.baseline import OutOfSample, Pair, References, Retrained, Spread
from obliviate.audit.class_membership import class_membership, forgotten_classes
from obliviate.audit.controls import Baseline, check_baselines, control
from obliviate.audit.distances import to_retrained
from obliviate.audit.exposure import exposure
from obliviate.audit.figures import View, views
from obliviate.audit.inputs import LEAST_RETRAINED, AuditSamples, AuditSettings, Candidate, Pool, check, check_classes
from obliviate.audit.result import AuditResult
from obliviate.audit.shadows import ShadowKnowledge
from obliviate.audit.utility import Bar, ReferenceUtility, Utility, bar, utility
from obliviate.audit.verdict import CERTAIN, LEVEL, Evidence, Judgement, Margins, Usefulness, judge
from obliviate.membership.base import PARTS, Attack, Knowledge, Readings, fit, readings, settings_of
from obliviate.membership.outputs import Outputs
from obliviate.metrics import intervals
from obliviate.metrics.cost import share_of_retraining
from obliviate.metrics.forgetting import average_gap, density, margin_bins, tpr_at
from obliviate.metrics.intervals import auc, balanced_accuracy, clopper_pearson, delong, mean_difference
from obliviate.metrics.rates import tpr_at_fpr
from obliviate.metrics.two_sample import classifier_two_sample
from obliviate.results.schema import (
    Accuracies,
    AttackOutcome,
    AttackUsed,
    Controls,
    Curves,
    Findings,
    Floor,
    Interval,
    MarginDensities,
    ModelResult,
    Rate,
    RocCurve,
    Settings,
    TestedDifference,
    TwoSample,
    Unit,
    UtilityFigure,
)

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
class _Attacks:
    """The attacks of an audit, with what was fitted on the references, and what is known of these."""

    asked: tuple[Attack, ...]
    fitted: tuple[Attack, ...]
    knowledge: Knowledge
    lead: str

    @classmethod
    def of(cls, settings: AuditSettings, samples: AuditSamples, pool: Pool) -> _Attacks:
        """Read every reference once."""
        asked = settings.attacks
        signals = list(dict.fromkeys(signal for attack in asked if _by_references(attack) for signal in attack.signals))

        def read() -> Iterator[tuple[Readings, np.ndarray]]:
            for outputs, included in samples.references(pool):
                yield readings(outputs, signals), included

        knowledge = Knowledge.of(read(), samples=len(samples.index))
        fitted = tuple(
            fit(attack, knowledge, samples.population) if _by_references(attack) else attack for attack in asked
        )
        return cls(asked, fitted, knowledge, settings.lead)

    @cached_property
    def on_all(self) -> list[Attack]:
        """Those that need no shadows."""
        return [attack for attack in self.fitted if "shadows" not in attack.needs]

    @cached_property
    def by_shadows(self) -> list[Attack]:
        """Those that need shadows."""
        return [attack for attack in self.fitted if "shadows" in attack.needs]

    @cached_property
    def decisive(self) -> list[str]:
        """Those that the verdict on every model rests on."""
        return [attack.name for attack in self.on_all if attack.use == "verdict"]

    @cached_property
    def rated(self) -> list[str]:
        """Those whose true-positive rates are told: scores that have few ties, for they know every sample."""
        return [attack.name for attack in self.on_all if attack.use == "verdict" and _by_references(attack)]

    @property
    def unseen_features(self) -> list[np.ndarray]:
        """What decisive attacks read of models that never saw each sample, on average over these."""
        signals = dict.fromkeys(
            signal for attack in self.on_all if attack.name in self.rated for signal in attack.signals
        )
        return [self.knowledge.moments[signal].mean(inside=False) for signal in signals]

    def described(self) -> tuple[AttackUsed, ...]:
        """What results say of them."""
        found = []
        for asked, fitted in zip(self.asked, self.fitted, strict=True):
            before, after = settings_of(asked), settings_of(fitted)
            found.append(
                AttackUsed(
                    name=asked.name,
                    title=asked.title,
                    source=asked.source,
                    use=asked.use,
                    settings=before,
                    fitted={name: value for name, value in after.items() if value != before[name]},
                )
            )
        return tuple(found)


def _by_references(attack: Attack) -> bool:
    return "references" in attack.needs


@dataclass(frozen=True, eq=False)
class _Scored:
    """A candidate with its outputs and its scores, each taken apart into forget, retain and unseen."""

    candidate: Candidate
    outputs: Outputs
    correct: dict[str, np.ndarray]
    margin: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]
    shadows: ShadowKnowledge | None
    lead: str

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
        return [*(100 * float(right.mean()) for right in self.correct.values()), 100 * auc(*self.pair(self.lead))]


@dataclass(frozen=True, eq=False)
class _Baselines:
    """What models are compared with."""

    attacks: _Attacks
    retrained: list[_Scored]
    paired: dict[str, Retrained]
    references: dict[str, References]
    spread: dict[str, Spread]
    pool: Pool
    original: _Scored | None
    views: list[View]
    inside: list[ReferenceUtility]  # references on retained samples that they had, and on unseen ones that they had not
    outside: list[ReferenceUtility]  # on samples that they had not
    half: bool  # whether as many samples are retained as a reference is trained on, or more

    def others(self, scored: _Scored) -> list[_Scored]:
        """The retrained models other than this one; none where there are too few to be a baseline."""
        return [other for other in self.retrained if other is not scored] if self.paired else []

    def evidence(self, scored: _Scored) -> list[Evidence]:
        """What every attack that the verdict rests on says of a model."""
        place = next((place for place, other in enumerate(self.retrained) if other is scored), None)
        decisive = self.attacks.decisive
        if self.paired:
            evidence = [
                self.paired[name].evidence(name, scored.pair(name), self.spread[name], leave_out=place)
                for name in decisive
            ]
        else:
            evidence = [self.references[name].evidence(name, scored.pair(name), self.spread[name]) for name in decisive]
        if scored.shadows is not None:
            for attack in self.attacks.by_shadows:
                if attack.use == "verdict":
                    evidence.append(self._by_shadows(attack, scored, scored.shadows))
        return evidence

    def _by_shadows(self, attack: Attack, scored: _Scored, shadows: ShadowKnowledge) -> Evidence:
        """What an attack by shadows says: the same baseline models, under the shadows of this one."""
        references = shadows.references(attack, self.pool)
        pairs = [shadows.pair(attack, other.candidate) for other in self.retrained]
        paired = Retrained.of(pairs) if self.paired else None
        spread = _spread(references, paired)
        return (paired or references).evidence(attack.name, shadows.pair(attack, scored.candidate), spread)

    def utility(self, scored: _Scored, margin: float) -> Utility:
        """How useful a model is, beside the other retrained models, the original, or the references."""
        if others := self.others(scored):
            against = "the retrained models have"
        elif self.original is not None:
            others, against = [self.original], "the original has"
        else:
            against = "the references have"
        return utility(self.bars(others), scored.outputs, margin=margin, against=against)

    def bars(self, others: Sequence[_Scored]) -> list[Bar]:
        """What every figure of utility should be, by some models, or by the references where there are none."""
        retrained = all(model.candidate.role == "retrained" for model in others)
        bars = []
        for view, inside in zip(self.views, self.inside, strict=True):
            whole = np.ones(len(view.index), dtype=bool)
            values = [view.read(model.outputs, whole) for model in others]
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

    def tested(self, scored: _Scored, margin: float) -> Baseline:
        """What is looked at of a retrained model before it is a baseline."""

        def beside(bars: list[Bar]) -> Utility:
            return utility(bars, scored.outputs, margin=margin, against="")

        others, original = self.others(scored), self.bars_of_original
        return Baseline(
            name=scored.candidate.name,
            beside=beside(self.bars(others)) if others else None,
            references=beside(self.bars_unseen),
            original=None if original is None else beside(original),
            knowledge=[
                self.references[name].evidence(name, scored.pair(name), _spread(self.references[name], None))
                for name in self.attacks.decisive
            ],
            half=self.half,
        )


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
    leak, and no more.
    """
    check(candidates, pool, samples)
    settings.check_classes(known=samples.labels is not None)
    retrained = [candidate for candidate in candidates if candidate.role == "retrained"]
    if samples.labels is not None:
        check_classes(samples.labels[samples.forget], samples.labels[samples.retain], retrained=len(retrained))
    attacks = _Attacks.of(settings, samples, pool)
    scored = [_score(candidate, attacks, samples) for candidate in candidates]
    baselines = _baselines(scored, attacks, pool, samples)
    check_baselines([baselines.tested(model, settings.utility_margin) for model in baselines.retrained])
    times = [candidate.seconds for candidate in retrained if candidate.seconds is not None]
    twin = _two_sample(attacks, samples)
    context = _Context(
        settings=settings,
        baselines=baselines,
        seconds=float(np.median(times)) if times else None,
        bins=margin_bins(np.concatenate([part for model in scored for part in model.margin.values()])),
        samples=samples,
        useful=_useful(scored),
        one_sided=not baselines.paired and bool(samples.grouped or twin.differs),
    )
    seen = [_Seen.of(model, context) for model in scored]
    controls = _controls(seen, context)
    models = tuple(_audited(model, context, controls) for model in seen)
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
        baseline="retrained" if baselines.paired else "references",
        controls=Controls(
            passed=controls.passed,
            reason=controls.reason,
            original=controls.original,
            condemned=controls.condemned,
            ceilings={name: 100 * value for name, value in controls.ceilings.items()},
            samples_needed=controls.samples_needed,
            models_needed=controls.models_needed,
        ),
        floor=_floor(models, baselines),
        two_sample=twin,
        margin_bins=tuple(context.bins.tolist()),
        models=models,
    )
    return AuditResult(findings=findings, scores={model.candidate.name: model.pair(attacks.lead) for model in scored})


@dataclass(frozen=True, eq=False)
class _Context:
    settings: AuditSettings
    baselines: _Baselines
    seconds: float | None  # of one retraining
    bins: np.ndarray
    samples: AuditSamples
    one_sided: bool  # whether the baseline can convict but not acquit
    useful: np.ndarray | None  # retain and test accuracy of the retrained models, None without any

    def kept_by(self, scored: _Scored) -> float | None:
        """The share of the retrained models' retain and test accuracy that a model has; None without any."""
        return None if self.useful is None else float((scored.useful / self.useful).prod())

    @property
    def names(self) -> np.ndarray:
        """What the forget samples are called."""
        forget = self.samples.forget
        return forget.astype(str) if self.samples.ids is None else self.samples.ids[forget]


@dataclass(frozen=True, eq=False)
class _Seen:
    """A candidate with what the attacks and the figures of utility say of it."""

    scored: _Scored
    evidence: list[Evidence]
    utility: Utility

    @classmethod
    def of(cls, scored: _Scored, context: _Context) -> _Seen:
        baselines = context.baselines
        return cls(scored, baselines.evidence(scored), baselines.utility(scored, context.settings.utility_margin))

    def judged(
        self, usefulness: Usefulness, context: _Context, controls: controlling.Controls | None = None
    ) -> Judgement:
        """The verdict; one audit in a hundred condemns any of its retrained models by chance."""
        baselines = context.baselines
        alike = len(baselines.retrained) if self.scored.candidate.role == "retrained" else 0
        return judge(
            self.evidence,
            usefulness,
            Margins(preset=context.settings.margin),
            baseline="the retrained models" if baselines.paired else "references that never saw it",
            one_sided=context.one_sided,
            uncontrolled="" if controls is None else controls.reason,
            ceilings={} if controls is None else controls.ceilings,
            level=CERTAIN / alike if alike else LEVEL,
        )


def _controls(seen: Sequence[_Seen], context: _Context) -> controlling.Controls:
    """Whether the original is told, by the attacks alone, and no retrained model is condemned."""
    of = {role: [model for model in seen if model.scored.candidate.role == role] for role in ("original", "retrained")}
    original = of["original"][0] if of["original"] else None
    return control(
        None if original is None else original.judged(Usefulness(), context),
        [] if original is None else original.evidence,
        {model.scored.candidate.name: model.judged(model.utility.usefulness, context) for model in of["retrained"]},
        Margins(preset=context.settings.margin),
        forget=len(context.samples.forget),
    )


def _useful(scored: Sequence[_Scored]) -> np.ndarray | None:
    """The mean retain and test accuracy of the retrained models; None where there are none, or one is 0."""
    useful = [model.useful for model in scored if model.candidate.role == "retrained"]
    mean = np.mean(useful, axis=0) if useful else np.zeros(2)
    return mean if mean.all() else None


def _score(candidate: Candidate, attacks: _Attacks, samples: AuditSamples) -> _Scored:
    outputs = samples.outputs(candidate.logits, whose=candidate.name)
    target = samples.target(outputs, attacks.knowledge)
    scores = {attack.name: samples.by_part(attack(target)) for attack in attacks.on_all}
    shadows = None
    if candidate.shadows is not None:
        shadows = ShadowKnowledge.of(candidate.shadows, samples, attacks.by_shadows)
    correct, margin = samples.by_part(outputs.correct), samples.by_part(outputs.margin)
    return _Scored(candidate, outputs, correct, margin, scores, shadows, attacks.lead)


def _baselines(scored: Sequence[_Scored], attacks: _Attacks, pool: Pool, samples: AuditSamples) -> _Baselines:
    retrained = [model for model in scored if model.candidate.role == "retrained"]
    decisive = [attack for attack in attacks.on_all if attack.name in attacks.decisive]
    signals = list(attacks.knowledge.moments)
    out_of_sample: dict[str, list[OutOfSample]] = {attack.name: [] for attack in decisive}
    looked_at = views(
        samples,
        {name: np.flatnonzero(samples.part_of == place) for place, name in enumerate(PARTS)},
        columns=int(scored[0].candidate.logits.shape[1]),
        spared=() if len(retrained) >= LEAST_RETRAINED else _mostly_forgotten(samples),
    )
    inside = [ReferenceUtility(view, trained=view.part == "retain") for view in looked_at]
    outside = [ReferenceUtility(view, trained=False) for view in looked_at]
    for outputs, included in samples.references(pool):
        # A reference attacked by the others: what attacks say of a model that never saw the samples that it was not
        # trained on. The scores of its own samples mean nothing.
        rest = attacks.knowledge.without(readings(outputs, signals), included)
        target, never = samples.target(outputs, rest, included=included), samples.by_part(~included)
        for attack in decisive:
            parts = samples.by_part(attack(target))
            pair = parts["forget"][never["forget"]], parts["unseen"][never["unseen"]]
            out_of_sample[attack.name].append(OutOfSample(pair, never["forget"], never["unseen"]))
        for gathered in (*inside, *outside):
            gathered.add(outputs, included)
    references = {name: References.of(parts) for name, parts in out_of_sample.items()}
    paired = (
        {name: Retrained.of([model.pair(name) for model in retrained]) for name in attacks.decisive}
        if len(retrained) >= LEAST_RETRAINED
        else {}
    )
    spread = {name: _spread(references[name], paired.get(name)) for name in attacks.decisive}
    original = next((model for model in scored if model.candidate.role == "original"), None)
    return _Baselines(
        attacks=attacks,
        retrained=retrained if paired else [],
        paired=paired,
        references=references,
        spread=spread,
        pool=pool,
        original=original,
        views=looked_at,
        inside=inside,
        outside=outside,
        half=bool(len(samples.retain) >= pool.included.sum(axis=1).min()),
    )


def _mostly_forgotten(samples: AuditSamples) -> list[int]:
    """The classes that lose so many samples that a retrained model would know less of them than the original."""
    if samples.labels is None:
        return []
    counts = np.bincount(samples.labels[samples.forget], minlength=int(samples.labels.max()) + 1)
    kept = np.bincount(samples.labels[samples.retain], minlength=len(counts))
    forgotten = np.flatnonzero(counts > MOST_FORGOTTEN * (counts + kept))
    return forgotten.tolist() if len(np.setdiff1d(samples.labels[samples.unseen], forgotten)) else []


def _spread(references: References, retrained: Retrained | None) -> Spread:
    """How far models that never saw the forget set lie apart beyond sampling, from all of them."""
    groups = [(references.values, references.sampling)]
    return Spread.of(*groups, *([] if retrained is None else [(retrained.values, retrained.noise)]))


def _audited(seen: _Seen, context: _Context, controls: controlling.Controls) -> ModelResult:
    scored, settings, baselines = seen.scored, context.settings, context.baselines
    candidate, lead = scored.candidate, scored.lead
    accuracies = {
        name: _percent(_share(right, settings.confidence))
        for name, right in zip(("forget", "retain", "test"), scored.correct.values(), strict=True)
    }
    judged = seen.judged(seen.utility.usefulness, context, controls)
    peers = baselines.others(scored)
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
        attacks=_outcomes(seen, context),
        average_gap=average_gap(scored.figures, np.mean(others, axis=0).tolist()) if others else None,
        test_accuracy_difference=_percent(seen.utility.accuracy.difference.interval()),
        utility=_listed(seen.utility),
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


def _outcomes(seen: _Seen, context: _Context) -> dict[str, AttackOutcome]:
    """What every attack found on a model."""
    scored, attacks, confidence = seen.scored, context.baselines.attacks, context.settings.confidence
    differences = {
        evidence.attack: TestedDifference(
            **_percent(evidence.interval()).model_dump(),
            p_above=evidence.p_above(),
            p_below=evidence.p_below(),
            resolution=100 * evidence.resolution(),
        )
        for evidence in seen.evidence
    }
    outcomes = {}
    for name in scored.scores:
        aucs = {game: _percent(delong(*scored.pair(name, game), confidence=confidence)) for game in GAMES}
        rates = tuple(_rate(scored.pair(name), fpr) for fpr in RATES) if name in attacks.rated else ()
        outcomes[name] = AttackOutcome(**aucs, difference=differences.get(name), rates=rates)
    if scored.shadows is not None:
        for attack in attacks.by_shadows:
            interval = delong(*scored.shadows.pair(attack, scored.candidate), confidence=confidence)
            outcomes[attack.name] = AttackOutcome(ft=_percent(interval), difference=differences.get(attack.name))
    return outcomes


def _cheap_attacks(scored: _Scored, context: _Context) -> dict[str, Interval]:
    """Balanced accuracy of every cheap attack that the samples allow, forget (as members) against unseen ones."""
    samples = context.samples
    target = samples.target(scored.outputs, context.baselines.attacks.knowledge)
    found = {}
    for attack in membership.cheap_attacks():
        if samples.labels is not None or "classes" not in attack.needs:
            scores = samples.by_part(attack(target))
            found[attack.name] = _percent(balanced_accuracy(scores["forget"], scores["unseen"]))
    return found


def _class_membership(scored: _Scored, context: _Context) -> Interval | None:
    """The share of unseen samples of forgotten classes on which a model answers as the original does; None without."""
    samples, original, peers = context.samples, context.baselines.original, context.baselines.others(scored)
    if samples.labels is None or original is None:
        return None
    gone = forgotten_classes(samples.labels[samples.forget], samples.labels[samples.retain])
    rows = samples.unseen[np.isin(samples.labels[samples.unseen], gone)]
    answers = [model.candidate.logits[rows] for model in (scored, original, *peers)]
    share = class_membership(answers[0], answers[1], answers[2:], gone, confidence=context.settings.confidence)
    return None if share is None else _percent(share)


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
            difference=_percent(figure.difference.interval()),
            margin=100 * figure.margin,
            resolved=bool(figure.resolved),
            lost=figure.lost,
        )
        for figure in [*whole, *recalls[:LISTED]]
    )


def _in_unit(value: float, unit: Unit) -> float:
    return float(np.exp(-value)) if unit == "perplexity" else value if unit == "R²" else 100 * value


def _floor(models: Sequence[ModelResult], baselines: _Baselines) -> Floor:
    """How far models that never saw the forget set lie apart: retrained ones, or references where there are none."""
    lead = baselines.attacks.lead
    peers = [model for model in models if model.role == "retrained"] if baselines.paired else []
    gaps = [model.average_gap for model in peers if model.average_gap is not None]
    aucs = [model.attacks[lead].ft.value for model in peers] or list(100 * baselines.references[lead].values)
    return Floor(
        average_gap_mean=float(np.mean(gaps)) if gaps else None,
        average_gap_max=max(gaps) if gaps else None,
        ft_auc_min=float(min(aucs)),
        ft_auc_max=float(max(aucs)),
        retrained=len(peers),
    )


def _share(right: np.ndarray, confidence: float) -> intervals.Interval:
    """The mean share right: of samples that are right or wrong with its exact interval, else with the normal one."""
    if ((right == 0) | (right == 1)).all():
        return clopper_pearson(int(right.sum()), len(right), confidence=confidence)
    interval = mean_difference(right, [np.zeros(len(right))], confidence=confidence)
    return intervals.Interval(interval.value, max(interval.low, 0.0), min(interval.high, 1.0))


def _percent(interval: intervals.Interval) -> Interval:
    return Interval(value=100 * interval.value, low=100 * interval.low, high=100 * interval.high)


def _rate(pair: Pair, fpr: float) -> Rate:
    """The true-positive rate at a false-positive rate, in percent, or how many samples would tell."""
    rate = tpr_at_fpr(*pair, fpr)
    return Rate(
        fpr=100 * fpr,
        unseen_needed=rate.negatives_needed,
        tpr=None if rate.tpr is None else _percent(rate.tpr),
        realised_fpr=None if rate.realised_fpr is None else _percent(rate.realised_fpr),
    )


def _two_sample(attacks: _Attacks, samples: AuditSamples) -> TwoSample:
    """Whether forget and unseen samples differ for models that never saw them, in difficulty or in class."""
    features, labels = attacks.unseen_features, samples.classes(samples.index)
    if labels is not None and len(classes := np.unique(labels)) <= MOST_CLASSES:
        features += [(labels == label).astype(np.float64) for label in classes[1:]]
    columns = np.stack(features, axis=1)
    parts = [columns[samples.part_of == PARTS.index(part)] for part in ("forget", "unseen")]
    if min(map(len, parts)) < FOLDS * 2:
        return TwoSample(auc=None, p_value=None, differs=None)
    few, more = PERMUTATIONS
    test = classifier_two_sample(*parts, folds=FOLDS, permutations=few)
    if test.p_value <= DOUBT:
        test = classifier_two_sample(*parts, folds=FOLDS, permutations=more)
    return TwoSample(auc=_percent(test.auc), p_value=test.p_value, differs=bool(test.p_value <= SUSPICIOUS))
