import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, Role
from obliviate.audit.result import AuditResult
from obliviate.errors import AuditError
from obliviate.membership import rmia, usual
from obliviate.membership.moments import Moments
from obliviate.metrics.intervals import delong
from obliviate.results.model import ModelResult

FORGET, RETAIN, UNSEEN = np.split(np.random.default_rng(9).permutation(2400), [800, 1600])
SIZE, CLASSES, MODELS = 2500, 3, 12  # 100 samples of the pool are in no part


class World:
    """Logits of simulated models: shared difficulty, noise per model, and a boost for what was trained on."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.labels = self.rng.integers(0, CLASSES, SIZE)
        self.difficulty = self.rng.normal(1, 1.5, SIZE)
        plan = np.tile(np.arange(MODELS)[:, None] < MODELS // 2, SIZE)
        included = self.rng.permuted(plan, axis=0)
        included[:, 2400:] = False
        self.pool = Pool(logits=[self.train(row) for row in included], included=included)
        self.samples = AuditSamples(labels=self.labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN)

    def train(self, members: np.ndarray, boost: float = 2.0) -> np.ndarray:
        logits = self.rng.normal(0, 0.5, (SIZE, CLASSES))
        logits[np.arange(SIZE), self.labels] += self.difficulty + boost * members
        return logits.astype(np.float32)

    def candidate(self, name: str, role: Role, logits: np.ndarray, seconds: float | None = 1.0) -> Candidate:
        return Candidate(
            name=name,
            role=role,
            method=name.partition(" ")[0],
            seed=0,
            logits=logits,
            seconds=seconds,
            weights_sha256="0" * 64,
            settings={"epochs": 3},
        )


def indicator(*parts: np.ndarray) -> np.ndarray:
    members = np.zeros(SIZE)
    members[np.concatenate(parts)] = 1
    return members


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def candidates(world: World) -> list[Candidate]:
    overdone = indicator(RETAIN) - 0.7 * indicator(FORGET)
    return [
        world.candidate("original", "original", world.train(indicator(FORGET, RETAIN)), seconds=50.0),
        *(
            world.candidate(f"retrain {seed}", "retrained", world.train(indicator(RETAIN)), seconds=seconds)
            for seed, seconds in enumerate([30.0, 40.0, 60.0])
        ),
        world.candidate("perfect", "unlearned", world.train(indicator(RETAIN)), seconds=4.0),
        world.candidate("overdone", "unlearned", world.train(overdone), seconds=None),
        world.candidate("destroyed", "unlearned", world.rng.normal(size=(SIZE, CLASSES)).astype(np.float32)),
    ]


@pytest.fixture(scope="module")
def result(world: World, candidates: list[Candidate]) -> AuditResult:
    return audit(candidates, world.pool, world.samples, AuditSettings())


@pytest.fixture(scope="module")
def models(result: AuditResult) -> dict[str, ModelResult]:
    return {model.name: model for model in result.models}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("original", "leaks"),
        ("retrain 0", "consistent with retraining"),
        ("retrain 1", "consistent with retraining"),
        ("retrain 2", "consistent with retraining"),
        ("perfect", "consistent with retraining"),
        ("overdone", "over-unlearned"),
        ("destroyed", "utility lost"),
    ],
)
def test_verdict_tells_the_original_from_a_retrain(models: dict[str, ModelResult], name: str, verdict: str):
    assert models[name].verdict == verdict, models[name].reason


def test_few_samples_are_not_resolvable(world: World, candidates: list[Candidate]):
    few = replace(world.samples, forget=FORGET[:25], retain=RETAIN[:25], unseen=UNSEEN[:25])
    perfect = audit(candidates[:5], world.pool, few, AuditSettings()).models[-1]
    assert perfect.verdict == "not resolvable with these data", perfect.reason
    assert perfect.resolution > 10
    assert "more samples or more models" in perfect.reason


def test_a_destroyed_model_passes_no_forgetting_figure_off_as_success(models: dict[str, ModelResult]):
    destroyed = models["destroyed"]
    assert destroyed.test_accuracy_difference.high < -20
    assert "The recall of class 1 on retained samples is" in destroyed.reason
    assert "where the retrained models have" in destroyed.reason


def test_figures_are_percent_of_the_right_samples(
    world: World, candidates: list[Candidate], models: dict[str, ModelResult]
):
    original = candidates[0]
    predicted = original.logits.argmax(axis=1)
    for name, part in {"forget": FORGET, "retain": RETAIN, "test": UNSEEN}.items():
        expected = 100 * accuracy_score(world.labels[part], predicted[part])
        found = getattr(models["original"].accuracy, name)
        assert found.value == pytest.approx(expected)
        assert found.low < expected < found.high

    points = np.concatenate([FORGET, RETAIN, UNSEEN])
    scores = np.full(SIZE, np.nan)
    scores[points] = rmia.online(
        rmia.confidence(original.logits[points], world.labels[points]),
        Moments.of(
            rmia.confidence(np.stack(world.pool.logits)[:, points], world.labels[points]),
            world.pool.included[:, points],
        ),
        np.arange(1600, 2400),
    )
    for game, (members, others) in {"ft": (FORGET, UNSEEN), "fr": (RETAIN, FORGET), "rt": (RETAIN, UNSEEN)}.items():
        found = getattr(models["original"].attacks["rmia"], game)
        truth = np.repeat([1, 0], [len(members), len(others)])
        assert found.value == pytest.approx(100 * roc_auc_score(truth, np.r_[scores[members], scores[others]]))
        interval = delong(scores[members], scores[others], confidence=0.95)
        assert (found.low, found.high) == pytest.approx((100 * interval.low, 100 * interval.high))


def test_differences_and_gaps_are_taken_from_the_other_retrained_models(models: dict[str, ModelResult]):
    def figures(name: str) -> np.ndarray:
        model = models[name]
        return np.array([*(share.value for _, share in model.accuracy), model.attacks["rmia"].ft.value])

    for name, others in {
        "perfect": ["retrain 0", "retrain 1", "retrain 2"],
        "retrain 1": ["retrain 0", "retrain 2"],
    }.items():
        gap = figures(name) - np.mean([figures(other) for other in others], axis=0)
        assert models[name].differences["rmia"].value == pytest.approx(gap[3])
        assert models[name].test_accuracy_difference.value == pytest.approx(gap[2])
        # Guessing "member" where the model is right has an AUC of one half plus half the difference of accuracies.
        assert models[name].differences["correctness"].value == pytest.approx((gap[0] - gap[2]) / 2)
        assert models[name].average_gap == pytest.approx(np.abs(gap).mean())


def test_floor_spans_the_retrained_models(result: AuditResult, models: dict[str, ModelResult]):
    retrained = [models[f"retrain {seed}"] for seed in range(3)]
    gaps = [model.average_gap for model in retrained if model.average_gap is not None]
    aucs = [model.attacks["rmia"].ft.value for model in retrained]
    assert result.findings.floor.model_dump() == {
        "average_gap_mean": pytest.approx(np.mean(gaps)),
        "average_gap_max": max(gaps),
        "ft_auc_min": min(aucs),
        "ft_auc_max": max(aucs),
        "retrained": 3,
    }
    assert (models["original"].average_gap or 0) > 3 * max(gaps)


def test_time_is_a_share_of_the_median_retraining(models: dict[str, ModelResult]):
    assert models["perfect"].share_of_retraining == pytest.approx(4 / 40)
    assert models["overdone"].share_of_retraining is None


def test_result_is_json_with_plottable_curves(result: AuditResult):
    written = json.loads(result.findings.model_dump_json())
    assert len(written["margin_bins"]) == 41
    assert written["settings"]["references"] == MODELS
    width = written["margin_bins"][1] - written["margin_bins"][0]
    for model in written["models"]:
        roc = model["curves"]["roc_ft"]
        assert len(roc["fpr"]) == len(roc["tpr"]) <= 150
        assert (roc["fpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (pytest.approx(1e-4), pytest.approx(1), 1)
        assert roc["tpr"] == sorted(roc["tpr"])
        for heights in model["curves"]["margins"].values():
            assert sum(heights) * width == pytest.approx(1)


def test_settings_reach_the_verdict(world: World, candidates: list[Candidate]):
    strict = audit(candidates[1:5], world.pool, world.samples, AuditSettings(margin=0.001)).models[-1]
    assert strict.verdict == "not resolvable with these data"
    assert "finer than" in strict.reason
    assert strict.margin == pytest.approx(0.1)


def test_the_form_and_the_variance_reach_the_attacks(world: World, candidates: list[Candidate]):
    plain = audit(candidates[:4], world.pool, world.samples, AuditSettings()).models[0]
    other = audit(
        candidates[:4], world.pool, world.samples, AuditSettings(attacks=usual(form="taylor", variance="shrunk"))
    ).models[0]
    assert other.attacks["rmia"] != plain.attacks["rmia"]
    assert other.attacks["lira"] != plain.attacks["lira"]
    assert other.attacks["correctness"] == plain.attacks["correctness"]
    assert other.verdict == "leaks"


@pytest.mark.parametrize("retrained", [0, 1])
def test_references_are_the_baseline_where_retrained_models_are_too_few(
    world: World, candidates: list[Candidate], retrained: int
):
    chosen = [one for one in candidates if one.role != "retrained"] + candidates[1 : 1 + retrained]
    result = audit(chosen, world.pool, world.samples, AuditSettings())
    assert result.findings.baseline == "references"
    verdicts = {one.name: one.verdict for one in result.models}
    assert verdicts | {"retrain 0": "consistent with retraining"} == {
        "original": "leaks",
        "perfect": "consistent with retraining",
        "overdone": "over-unlearned",
        "destroyed": "utility lost",
        "retrain 0": "consistent with retraining",
    }
    assert all(one.average_gap is None for one in result.models)
    assert result.findings.floor.average_gap_mean is None
    assert "references that never saw it" in {one.name: one.reason for one in result.models}["original"]
    assert "where the original has" in {one.name: one.reason for one in result.models}["destroyed"]


def test_without_retrained_models_samples_of_a_kind_can_be_shown_to_leak_and_no_more(
    world: World, candidates: list[Candidate]
):
    models = [one if one.role == "original" else replace(one, role="unlearned") for one in candidates]
    asked = {"original", "perfect", "overdone", "destroyed"}
    told = {}
    for grouped in (False, True):
        found = audit(models, world.pool, replace(world.samples, grouped=grouped), AuditSettings())
        told[grouped] = {one.name: one.verdict for one in found.models if one.name in asked}
        assert found.findings.settings.one_sided == grouped
    assert told[False]["perfect"] == "consistent with retraining"
    assert told[True] == told[False] | dict.fromkeys(("perfect", "overdone"), "not resolvable with these data")
    found = audit(candidates, world.pool, replace(world.samples, grouped=True), AuditSettings())
    assert not found.findings.settings.one_sided  # with retrained models it does not matter


def test_samples_that_differ_by_themselves_are_of_a_kind(world: World, candidates: list[Candidate]):
    labels = world.labels
    part = FORGET[labels[FORGET] == labels[FORGET][0]]
    samples = replace(world.samples, forget=part)
    models = [one for one in candidates if one.role != "retrained"]
    found = audit(models, world.pool, samples, AuditSettings())
    assert found.findings.two_sample.differs
    assert found.findings.settings.one_sided
    assert {one.name: one.verdict for one in found.models}["perfect"] == "not resolvable with these data"


def test_utility_is_compared_with_the_references_where_there_is_no_other_model(
    world: World, candidates: list[Candidate]
):
    chosen = [one for one in candidates if one.role == "unlearned"]
    models = {one.name: one for one in audit(chosen, world.pool, world.samples, AuditSettings()).models}
    assert models["destroyed"].verdict == "utility lost"
    assert "where the references have" in models["destroyed"].reason
    assert models["perfect"].verdict == "not resolvable with these data"
    assert "but the original is not among the models" in models["perfect"].reason
    out_of_sample = [
        (logits[UNSEEN].argmax(axis=1) == world.labels[UNSEEN])[~row[UNSEEN]].mean()
        for logits, row in zip(world.pool.logits, world.pool.included, strict=True)
    ]
    # Here by the mean over samples of what those say that never saw each, there by the mean over references.
    expected = models["perfect"].accuracy.test.value - 100 * np.mean(out_of_sample)
    assert models["perfect"].test_accuracy_difference.value == pytest.approx(expected, abs=0.5)


def test_a_forgotten_class_needs_retrained_models(world: World, candidates: list[Candidate]):
    forget = np.flatnonzero(world.labels[:1600] == 2)
    samples = replace(world.samples, forget=forget, retain=np.flatnonzero(world.labels[:1600] != 2))
    samples = replace(samples, unseen=np.setdiff1d(np.arange(2400), np.r_[samples.forget, samples.retain]))
    with pytest.raises(AuditError, match="retrained models where a whole class is forgotten, got 0 and class 2"):
        audit([candidates[0], candidates[4]], world.pool, samples, AuditSettings())
    assert audit(candidates, world.pool, samples, AuditSettings()).findings.baseline == "retrained"


def test_the_pool_is_read_one_reference_at_a_time(world: World, candidates: list[Candidate]):
    class Lazy(list[np.ndarray]):
        """Counts what is asked for, so that nothing reads references at random or more than it needs."""

        reads = 0

        def __iter__(self):
            for one in super().__iter__():
                self.reads += 1
                yield one

    lazy = Lazy(world.pool.logits)
    found = audit(candidates, replace(world.pool, logits=lazy), world.samples, AuditSettings())
    assert lazy.reads == 2 * MODELS
    assert found == audit(candidates, world.pool, world.samples, AuditSettings())


def test_audit_refuses_too_few_references(world: World, candidates: list[Candidate]):
    pool = Pool(logits=world.pool.logits[:3], included=world.pool.included[:3])
    with pytest.raises(AuditError, match=r"at least 4 references .* got 3"):
        audit(candidates, pool, world.samples, AuditSettings())


def test_audit_refuses_repeated_names(world: World, candidates: list[Candidate]):
    with pytest.raises(AuditError, match="distinct names"):
        audit([*candidates, candidates[0]], world.pool, world.samples, AuditSettings())


def test_audit_refuses_diverged_models(world: World, candidates: list[Candidate]):
    broken = replace(candidates[0], name="broken", logits=np.full((SIZE, CLASSES), np.nan, np.float32))
    with pytest.raises(AuditError, match="from broken"):
        audit([*candidates, broken], world.pool, world.samples, AuditSettings())
    pool = replace(world.pool, logits=[*world.pool.logits[:-1], np.full((SIZE, CLASSES), np.inf, np.float32)])
    with pytest.raises(AuditError, match=f"from reference {MODELS - 1}"):
        audit(candidates, pool, world.samples, AuditSettings())


def test_audit_refuses_samples_that_no_reference_or_every_reference_trained_on(
    world: World, candidates: list[Candidate]
):
    samples = replace(world.samples, unseen=np.arange(2400, SIZE))
    with pytest.raises(
        AuditError, match="every unseen sample in at least 2 references and out of at least 2, got 100 of 100"
    ):
        audit(candidates, world.pool, samples, AuditSettings())
    included = world.pool.included.copy()
    included[:, RETAIN[:7]] = True
    with pytest.raises(AuditError, match=r"every retain sample .* got 7 of 800"):
        audit(candidates, replace(world.pool, included=included), world.samples, AuditSettings())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget": UNSEEN}, "800 repeated"),
        ({"forget": np.array([], dtype=int)}, "at least 2 indices .* for forget"),
        ({"unseen": np.array([SIZE, 0])}, "for unseen"),
        ({"retain": np.array([-1, 0])}, "for retain"),
    ],
)
def test_audit_refuses_unfair_parts(
    world: World, candidates: list[Candidate], change: dict[str, np.ndarray], message: str
):
    with pytest.raises(AuditError, match=message):
        audit(candidates, world.pool, replace(world.samples, **change), AuditSettings())


@pytest.mark.usefixtures("unchecked")
def test_audit_refuses_other_shapes(world: World, candidates: list[Candidate]):
    short = replace(candidates[0], name="short", logits=candidates[0].logits[:-1])
    with pytest.raises(AuditError, match="from short"):
        audit([*candidates, short], world.pool, world.samples, AuditSettings())
    with pytest.raises(AuditError, match="references"):
        audit(candidates, replace(world.pool, included=world.pool.included[:-1]), world.samples, AuditSettings())


def test_what_is_known_of_a_forgotten_class_is_told_beside_the_retrained_models(
    world: World, candidates: list[Candidate], models: dict[str, ModelResult]
):
    assert all(model.class_membership is None for model in models.values())  # of no class all samples are forgotten
    known = np.concatenate([FORGET, RETAIN])
    of_class, retain = (known[(world.labels[known] == 2) == gone] for gone in (True, False))
    samples = replace(world.samples, forget=of_class, retain=retain)
    original = world.candidate("original", "original", world.train(indicator(of_class, retain)))
    retrained = [world.candidate(f"retrain {seed}", "retrained", world.train(indicator(retain))) for seed in range(3)]
    result = audit([original, *retrained], world.pool, samples, AuditSettings())
    shares = [model.class_membership for model in result.models]
    assert all(share is not None and 0 <= share.low <= share.value <= share.high <= 100 for share in shares)
    without = audit(retrained, world.pool, samples, AuditSettings())
    assert all(model.class_membership is None for model in without.models)  # there is no original
