"""Outputs without classes: likelihood, score and share right. Written of classes, they must say what logits say."""

from dataclasses import replace

import numpy as np
import pytest

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, Role
from obliviate.errors import AuditError
from obliviate.membership import RMIA, RMIAOffline, logistic, usual
from obliviate.metrics.utility import correct, margin

FORGET, RETAIN, UNSEEN = np.split(np.random.default_rng(9).permutation(450), [150, 300])
SIZE, CLASSES, MODELS = 450, 4, 8
ATTACKS = tuple(
    replace(attack, temperature=1.0) if isinstance(attack, RMIA | RMIAOffline) else attack for attack in usual()
)
SETTINGS = AuditSettings(attacks=ATTACKS, cheap_attacks=True)


def candidate(name: str, role: Role, outputs: np.ndarray) -> Candidate:
    return Candidate(name=name, role=role, method=name, seed=0, logits=outputs, seconds=1.0, weights_sha256="0" * 64)


class World:
    """Logits of simulated models, and the same as likelihoods."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.labels, difficulty = rng.integers(0, CLASSES, SIZE), rng.normal(1, 1.5, SIZE)
        included = rng.permuted(np.tile(np.arange(MODELS)[:, None] < MODELS // 2, SIZE), axis=0)

        def train(members: np.ndarray) -> np.ndarray:
            logits = rng.normal(0, 0.5, (SIZE, CLASSES))
            logits[np.arange(SIZE), self.labels] += difficulty + 2 * members
            return logits

        kept = np.isin(np.arange(SIZE), RETAIN)
        self.pool = Pool(logits=[train(row) for row in included], included=included)
        self.candidates = [
            candidate("original", "original", train(kept | np.isin(np.arange(SIZE), FORGET))),
            *(candidate(f"retrain {seed}", "retrained", train(kept)) for seed in range(3)),
            candidate("perfect", "unlearned", train(kept)),
        ]
        self.samples = AuditSamples(labels=self.labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN)

    def likelihoods(self, logits: np.ndarray) -> np.ndarray:
        right = correct(logits, self.labels).astype(float)
        return np.stack([logistic.loss(logits, self.labels), margin(logits, self.labels), right], axis=1)

    def without_classes(self) -> tuple[list[Candidate], Pool, AuditSamples]:
        candidates = [replace(candidate, logits=self.likelihoods(candidate.logits)) for candidate in self.candidates]
        pool = replace(self.pool, logits=[self.likelihoods(logits) for logits in self.pool.logits])
        return candidates, pool, replace(self.samples, labels=None)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_likelihoods_of_classes_are_audited_as_their_logits_are(world: World):
    of_logits = audit(world.candidates, world.pool, world.samples, SETTINGS)
    of_likelihoods = audit(*world.without_classes(), SETTINGS)
    for model, other in zip(of_logits.models, of_likelihoods.models, strict=True):
        assert (model.verdict, model.accuracy) == (other.verdict, other.accuracy)
        assert model.attacks.keys() == other.attacks.keys()
        for attack, outcome in model.attacks.items():
            for game in ("ft", "fr", "rt"):
                expected = getattr(outcome, game).model_dump()
                assert getattr(other.attacks[attack], game).model_dump() == pytest.approx(expected), (attack, game)
        assert other.cheap_attacks["mia_loss"].model_dump() == pytest.approx(
            model.cheap_attacks["mia_loss"].model_dump()
        )
        assert set(other.cheap_attacks) == {"mia_loss", "mia_confidence"}
        assert other.distances is None
        assert all(sample.label is None for sample in other.exposure.samples)
    assert of_likelihoods.models[0].verdict == "leaks"
    assert of_likelihoods.models[-1].verdict != "leaks"


def test_a_share_of_a_sample_may_be_right(world: World):
    candidates, pool, samples = world.without_classes()
    shared = [replace(candidate, logits=candidate.logits * [1, 1, 0] + [0, 0, 0.25]) for candidate in candidates]
    result = audit(shared, pool, samples, AuditSettings())
    assert [share.value for _, share in result.models[0].accuracy] == [25.0, 25.0, 25.0]
    test = result.models[0].accuracy.test
    assert (test.low, test.high) == (25.0, 25.0)


def test_logits_without_labels_are_refused(world: World):
    samples = replace(world.samples, labels=None)
    with pytest.raises(AuditError, match=r"^expected the columns .*, got outputs of shape \(450, 4\); "):
        audit(world.candidates, world.pool, samples, AuditSettings())


def test_labels_of_other_samples_are_refused(world: World):
    samples = replace(world.samples, labels=world.labels[:-1])
    with pytest.raises(AuditError, match=r"^expected a label for each of the 450 samples of the pool, got 449; "):
        audit(world.candidates, world.pool, samples, AuditSettings())
