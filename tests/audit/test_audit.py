"""The audit of simulated models, from their outputs to the verdicts."""

from dataclasses import replace

import numpy as np
import pytest

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.audit.result import AuditResult
from obliviate.errors import AuditError
from obliviate.membership import usual
from obliviate.results.model import ModelResult
from simulated_models import FORGET, MODELS, RETAIN, UNSEEN, World


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
    chosen = [candidate for candidate in candidates if candidate.role != "retrained"] + candidates[1 : 1 + retrained]
    result = audit(chosen, world.pool, world.samples, AuditSettings())
    assert result.findings.baseline == "references"
    verdicts = {model.name: model.verdict for model in result.models}
    assert verdicts | {"retrain 0": "consistent with retraining"} == {
        "original": "leaks",
        "perfect": "consistent with retraining",
        "overdone": "over-unlearned",
        "destroyed": "utility lost",
        "retrain 0": "consistent with retraining",
    }
    assert all(model.average_gap is None for model in result.models)
    assert result.findings.floor.average_gap_mean is None
    assert "references that never saw it" in {model.name: model.reason for model in result.models}["original"]
    assert "where the original has" in {model.name: model.reason for model in result.models}["destroyed"]


def test_without_retrained_models_samples_of_a_kind_can_be_shown_to_leak_and_no_more(
    world: World, candidates: list[Candidate]
):
    models = [
        candidate if candidate.role == "original" else replace(candidate, role="unlearned") for candidate in candidates
    ]
    asked = {"original", "perfect", "overdone", "destroyed"}
    verdicts = {}
    for grouped in (False, True):
        result = audit(models, world.pool, replace(world.samples, grouped=grouped), AuditSettings())
        verdicts[grouped] = {model.name: model.verdict for model in result.models if model.name in asked}
        assert result.findings.settings.one_sided == grouped
    assert verdicts[False]["perfect"] == "consistent with retraining"
    assert verdicts[True] == verdicts[False] | dict.fromkeys(("perfect", "overdone"), "not resolvable with these data")
    result = audit(candidates, world.pool, replace(world.samples, grouped=True), AuditSettings())
    assert not result.findings.settings.one_sided  # with retrained models it does not matter


@pytest.mark.usefixtures("all_permutations")
def test_samples_that_differ_by_themselves_are_of_a_kind(world: World, candidates: list[Candidate]):
    labels = world.labels
    part = FORGET[labels[FORGET] == labels[FORGET][0]]
    samples = replace(world.samples, forget=part)
    models = [candidate for candidate in candidates if candidate.role != "retrained"]
    result = audit(models, world.pool, samples, AuditSettings())
    assert result.findings.two_sample.differs
    assert result.findings.settings.one_sided
    assert {model.name: model.verdict for model in result.models}["perfect"] == "not resolvable with these data"


def test_utility_is_compared_with_the_references_where_there_is_no_other_model(
    world: World, candidates: list[Candidate]
):
    chosen = [candidate for candidate in candidates if candidate.role == "unlearned"]
    models = {model.name: model for model in audit(chosen, world.pool, world.samples, AuditSettings()).models}
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
            for logits in super().__iter__():
                self.reads += 1
                yield logits

    lazy = Lazy(world.pool.logits)
    result = audit(candidates, replace(world.pool, logits=lazy), world.samples, AuditSettings())
    assert lazy.reads == 2 * MODELS
    assert result == audit(candidates, world.pool, world.samples, AuditSettings())
