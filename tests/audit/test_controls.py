import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from obliviate.audit.audit import audit
from obliviate.audit.controls import control, needed, planned_resolution, samples_for
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, Role
from obliviate.audit.verdict import LEVEL, Evidence, Judgement, Margins, Verdict
from obliviate.errors import AuditError

SIZE, CLASSES, MODELS = 2400, 4, 12
FORGET, RETAIN, UNSEEN = np.split(np.arange(SIZE), [400, 1600])


class World:
    """Simulated models that are surer of what they were trained on; unseen samples may be of a harder kind."""

    def __init__(self, boost: float = 2.5, harder: float = 0.0) -> None:
        self.rng, self.boost = np.random.default_rng(5), boost
        self.labels = self.rng.integers(0, CLASSES, SIZE)
        self.difficulty = self.rng.normal(1, 1.5, SIZE)
        self.difficulty[UNSEEN] -= harder
        plan = np.tile(np.arange(MODELS)[:, None] < MODELS // 2, SIZE)
        included = self.rng.permuted(plan, axis=0)
        self.pool = Pool(logits=[self.logits(row) for row in included], included=included)
        self.samples = AuditSamples(labels=self.labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN)

    def logits(self, members: np.ndarray) -> np.ndarray:
        logits = self.rng.normal(0, 0.5, (SIZE, CLASSES))
        logits[np.arange(SIZE), self.labels] += self.difficulty + self.boost * members
        return logits.astype(np.float32)

    def model(self, name: str, role: Role, *parts: np.ndarray) -> Candidate:
        members = np.zeros(SIZE)
        if parts:
            members[np.concatenate(parts)] = 1
        return self.candidate(name, role, self.logits(members))

    def informed(self, share: float) -> list[Candidate]:
        """Two retrained models that know a share of what they would if they had learned the forget set by heart."""
        members = np.zeros(SIZE)
        members[RETAIN], members[FORGET] = 1, share
        return [self.candidate(f"retrain {place}", "retrained", self.logits(members)) for place in range(2)]

    def candidate(self, name: str, role: Role, logits: np.ndarray) -> Candidate:
        return Candidate(name=name, role=role, method=name, seed=0, logits=logits, seconds=1.0, weights_sha256="")

    def retrained(self, count: int) -> list[Candidate]:
        return [self.model(f"retrain {place}", "retrained", RETAIN) for place in range(count)]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_an_original_that_cannot_be_told_lets_nobody_pass():
    world = World(boost=0.02)  # they learn by heart next to nothing
    original = world.model("original", "original", FORGET, RETAIN)
    perfect = world.model("perfect", "unlearned", RETAIN)
    result = audit([original, *world.retrained(3), perfect], world.pool, world.samples, AuditSettings(margin=0.2))
    assert "consistent with retraining" not in {model.verdict for model in result.models}
    reason = result.models[-1].reason
    assert "these data cannot show forgetting: the original itself would pass" in reason
    assert result.findings.controls.passed is result.findings.controls.original is False


def test_without_the_original_nobody_passes_and_a_leak_is_one(world: World):
    perfect, leaky = world.model("perfect", "unlearned", RETAIN), world.model("leaky", "unlearned", FORGET, RETAIN)
    result = audit([*world.retrained(3), perfect, leaky], world.pool, world.samples, AuditSettings())
    verdicts = {model.name: model.verdict for model in result.models}
    assert verdicts["perfect"] == "not resolvable with these data"
    assert verdicts["leaky"] == "leaks"
    assert result.findings.controls.original is None


def test_a_retrained_model_that_never_trained_stops_the_audit_by_name(world: World):
    blank = world.candidate("retrain 9", "retrained", world.rng.normal(size=(SIZE, CLASSES)).astype(np.float32))
    original = world.model("original", "original", FORGET, RETAIN)
    for others in (1, 2):
        with pytest.raises(AuditError, match=r"got retrain 9, which is worse than references, .* leave it out"):
            audit([original, *world.retrained(others), blank], world.pool, world.samples, AuditSettings())


def test_retrained_models_that_began_from_the_checkpoint_stop_the_audit(world: World):
    original = world.model("original", "original", FORGET, RETAIN)
    informed = [world.model(f"retrain {place}", "retrained", FORGET, RETAIN) for place in range(2)]
    with pytest.raises(AuditError, match=r"got retrain 0 \(and retrain 1\), which knows the forget set: FT-AUC of"):
        audit([original, *informed], world.pool, world.samples, AuditSettings())
    with pytest.raises(AuditError, match=r"got retrain 1, which knows the forget set"):
        audit([original, *world.retrained(1), informed[1]], world.pool, world.samples, AuditSettings())


def test_a_retrained_model_may_know_more_than_references_that_learned_from_samples_of_another_kind(world: World):
    later = World(harder=1.0)
    for other, share, refused in ((world, 0.25, True), (later, 0.25, False), (later, 0.9, True)):
        models = [other.model("original", "original", FORGET, RETAIN), *other.informed(share)]
        if refused:
            with pytest.raises(AuditError, match="which knows the forget set"):
                audit(models, other.pool, other.samples, AuditSettings())
        else:
            assert audit(models, other.pool, other.samples, AuditSettings()).findings.controls.passed
    with pytest.raises(AuditError, match="which knows the forget set"):  # nothing to hold it against
        audit(later.informed(0.25), later.pool, later.samples, AuditSettings())


def test_references_that_learned_from_samples_of_another_kind_convict_nobody(world: World):
    for other, verdict in ((world, "leaks"), (World(harder=1.0), "not resolvable with these data")):
        original = other.model("original", "original", FORGET, RETAIN)
        perfect = replace(other.informed(0.25)[0], name="perfect", role="unlearned")
        result = audit([original, perfect], other.pool, other.samples, AuditSettings())
        assert result.findings.models[-1].verdict == verdict


def test_a_retrained_model_that_was_trained_far_less_stops_the_audit(world: World):
    half = world.model("retrain 9", "retrained", RETAIN[: len(RETAIN) // 8])
    original = world.model("original", "original", FORGET, RETAIN)
    with pytest.raises(AuditError, match="got retrain 9, which"):
        audit([original, *world.retrained(2), half], world.pool, world.samples, AuditSettings())


def judgement(verdict: Verdict) -> Judgement:
    return Judgement(verdict=verdict, margin=0.05, resolution=0.05, reason="")


def test_a_condemned_retrained_model_is_named_and_lets_nobody_pass():
    leaking = judgement("leaks")
    fine, condemned = judgement("consistent with retraining"), judgement("over-unlearned")
    evidence = [Evidence(attack="rmia", value=0.2, error=0.01, null_error=0.01, df=math.inf)]
    open_ = judgement("not resolvable with these data")
    assert control(leaking, evidence, {"a": fine, "b": open_}, Margins(), forget=100).passed
    result = control(leaking, evidence, {"a": fine, "b": condemned}, Margins(), forget=100)
    assert result.condemned == ("b",)
    assert "the control failed: b, which never saw the forget set, was judged “over-unlearned”" in result.reason


def test_half_of_what_the_original_knows_is_the_ceiling_and_must_be_resolved():
    evidence = [Evidence(attack="rmia", value=0.05, error=0.01, null_error=0.01, df=math.inf)]
    result = control(judgement("leaks"), evidence, {}, Margins(), forget=100)
    assert result.passed
    assert result.ceilings == {"rmia": 0.025}
    assert not control(judgement("leaks"), evidence, {}, Margins(preset=0.04), forget=100).ceilings
    coarse = [Evidence(attack="rmia", value=0.05, error=0.02, null_error=0.02, df=math.inf)]
    result = control(judgement("leaks"), coarse, {}, Margins(), forget=100)
    assert result.original
    assert "knows half of what the original does (+5.0 points of rmia) cannot be told from one that" in result.reason
    assert result.samples_needed == math.ceil(100 * (norm.isf(0.05) * 0.02 / 0.025) ** 2)
    assert control(judgement("leaks"), coarse, {}, Margins(preset=0.04), forget=100).passed


def test_how_many_samples_would_tell_the_original_follows_from_the_error():
    evidence = Evidence(attack="rmia", value=0.01, error=0.01, null_error=0.01, df=math.inf)
    samples, models = needed([evidence], forget=100, models=3)
    assert samples is not None
    assert models is None
    wanted = norm.isf(LEVEL) + norm.isf(0.2)
    assert 0.01 / (0.01 * math.sqrt(100 / samples)) == pytest.approx(wanted, rel=0.01)
    # Where models lie too far apart, more samples do not help, but more retrained models may.
    apart = Evidence(attack="rmia", value=0.06, error=0.03, null_error=0.03, df=math.inf, spread=0.03**2 * 0.9)
    assert needed([apart], forget=100, models=1)[0] is None
    assert needed([apart], forget=100, models=1)[1] is not None
    nothing = Evidence(attack="rmia", value=-0.01, error=0.03, null_error=0.03, df=math.inf)
    assert needed([nothing], forget=100, models=3) == (None, None)


@pytest.mark.parametrize("forget", [50, 500, 5000])
def test_the_planned_resolution_is_inverse_to_the_samples_that_a_margin_needs(forget: int):
    margin = planned_resolution(forget, 10_000)
    assert samples_for(margin, 10_000) == pytest.approx(forget, abs=1)
    assert samples_for(0.001, 100) is None
