"""Utility that a destroyed model fails, on simulated models: a shared difficulty, and noise of their own."""

from collections.abc import Sequence

import numpy as np
import pytest

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, Role
from obliviate.errors import AuditError
from obliviate.results.model import ModelResult

SIZE, MODELS = 3000, 12
FORGET, RETAIN, UNSEEN = np.split(np.arange(SIZE), [400, 1700])


class World:
    """Models of samples in some classes, of which the last is as rare as is asked for."""

    def __init__(self, classes: int, rare: float, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        shares = np.full(classes, (1 - rare) / (classes - 1))
        shares[-1] = rare
        self.labels = self.rng.choice(classes, SIZE, p=shares)
        self.labels[:classes] = self.labels[400 : 400 + classes] = self.labels[1700 : 1700 + classes] = np.arange(
            classes
        )
        self.prior = np.log(np.bincount(self.labels) / SIZE)
        self.difficulty = self.rng.normal(1.5, 1.5, SIZE) + (self.labels == classes - 1) * 1.5
        plan = np.tile(np.arange(MODELS)[:, None] < MODELS // 2, SIZE)
        included = self.rng.permuted(plan, axis=0)
        self.pool = Pool(logits=[self.logits(row) for row in included], included=included)
        self.samples = AuditSamples(labels=self.labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN)

    def logits(self, members: np.ndarray, boost: float = 3.0) -> np.ndarray:
        logits = self.prior + self.rng.normal(0, 0.5, (SIZE, len(self.prior)))
        logits[np.arange(SIZE), self.labels] += self.difficulty + boost * members
        return logits.astype(np.float32)

    def model(self, name: str, role: Role, *parts: np.ndarray) -> Candidate:
        members = np.zeros(SIZE)
        members[np.concatenate(parts)] = 1
        return candidate(name, role, self.logits(members))

    @property
    def honest(self) -> list[Candidate]:
        retrained = [self.model(f"retrain {place}", "retrained", RETAIN) for place in range(3)]
        return [self.model("original", "original", FORGET, RETAIN), *retrained]


def candidate(name: str, role: Role, logits: np.ndarray) -> Candidate:
    return Candidate(name=name, role=role, method=name, seed=0, logits=logits, seconds=1.0, weights_sha256="")


def judged(world: World, models: Sequence[Candidate], settings: AuditSettings | None = None) -> dict[str, ModelResult]:
    result = audit(models, world.pool, world.samples, settings or AuditSettings())
    return {model.name: model for model in result.models}


def never(logits: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    changed = logits.copy()
    changed[:, list(classes)] = -30
    return changed


@pytest.fixture(scope="module", params=[0.12, 0.02])
def imbalanced(request: pytest.FixtureRequest) -> World:
    return World(2, request.param, seed=1)


@pytest.mark.parametrize("with_retrained", [True, False])
def test_a_model_that_says_no_to_everybody_is_not_acquitted(imbalanced: World, with_retrained: bool):
    world = imbalanced
    honest = world.honest
    good = candidate("good", "unlearned", honest[1].logits)
    constant = candidate("constant", "unlearned", np.tile(world.prior, (SIZE, 1)).astype(np.float32))
    noise = world.rng.normal(0, 0.3, (SIZE, 2))
    noisy = candidate("prior and noise", "unlearned", (world.prior + noise).astype(np.float32))
    chosen = [*honest[:1], *honest[2:], good] if with_retrained else [honest[0], good]
    models = judged(world, [*chosen, constant, noisy])
    assert models["good"].verdict == "consistent with retraining", models["good"].reason
    for name in ("constant", "prior and noise"):
        assert models[name].verdict == "utility lost", models[name].reason
        lost = {(figure.figure, figure.part) for figure in models[name].utility if figure.lost}
        assert ("recall of class 1", "retain") in lost
        assert models[name].accuracy.test.value > models["good"].accuracy.test.value - 15
        assert models[name].damage


def test_the_class_that_is_lost_is_named_with_its_figures():
    world = World(4, 0.02)
    honest = world.honest
    broken = candidate("broken", "unlearned", never(honest[1].logits, [3]))
    model = judged(world, [honest[0], *honest[2:], broken])["broken"]
    assert model.verdict == "utility lost"
    assert "recall of class 3" in model.reason
    assert " is 0.0, where the retrained models have " in model.reason
    accuracy = next(figure for figure in model.utility if (figure.figure, figure.part) == ("accuracy", "unseen"))
    assert not accuracy.lost  # which is why nothing else would have told


def test_a_tenth_of_many_classes_is_missed():
    world = World(50, 0.02)
    honest = world.honest
    broken = candidate("broken", "unlearned", never(honest[1].logits, range(5)))
    models = judged(world, [honest[0], *honest[2:], broken])
    assert models["broken"].verdict == "utility lost", models["broken"].reason
    assert {models[f"retrain {place}"].verdict for place in (1, 2)} == {"consistent with retraining"}


def test_retained_samples_that_are_damaged_are_told_though_unseen_ones_are_not():
    world = World(4, 0.2)
    honest = world.honest
    logits = honest[1].logits.copy()
    wrong = RETAIN[: len(RETAIN) // 20]
    logits[wrong] = -logits[wrong]
    model = judged(world, [honest[0], *honest[2:], candidate("damaged", "unlearned", logits)])["damaged"]
    assert model.verdict != "consistent with retraining"
    assert "on retained samples" in model.damage
    assert model.test_accuracy_difference.value > -2


@pytest.mark.parametrize(("classes", "rare"), [(2, 0.12), (10, 0.05), (30, 0.02)])
def test_true_retrains_pass_however_many_figures_are_looked_at(classes: int, rare: float):
    judged_models = [
        model
        for world in (World(classes, rare, seed) for seed in range(4))
        for name, model in judged(world, world.honest).items()
        if name != "original" and model.resolution <= 10  # else the attacks alone leave it open
    ]
    assert len(judged_models) >= 6
    verdicts = [model.verdict for model in judged_models]
    assert verdicts.count("utility lost") == 0
    assert verdicts.count("consistent with retraining") >= len(verdicts) - 1


def test_a_larger_margin_of_utility_allows_more():
    world = World(4, 0.2)
    honest = world.honest
    broken = candidate("broken", "unlearned", never(honest[1].logits, [3]))
    models = [honest[0], *honest[2:], broken]
    assert judged(world, models, AuditSettings(utility_margin=1.0))["broken"].verdict != "utility lost"


def test_too_few_samples_of_a_task_do_not_show_that_a_model_still_works():
    world = World(2, 0.5)
    world.samples = AuditSamples(labels=world.labels, forget=FORGET, retain=RETAIN[:12], unseen=UNSEEN)
    honest = world.honest
    good = candidate("good", "unlearned", honest[1].logits)
    model = judged(world, [honest[0], *honest[2:], good], AuditSettings(margin=0.2))["good"]
    assert model.verdict == "not resolvable with these data"
    assert "on retained samples resolves losses" in model.reason


def test_outputs_of_another_width_than_labels_are_refused():
    world = World(2, 0.5)
    outputs = [np.ones((SIZE, 5), np.float32)] * MODELS
    samples = AuditSamples(
        labels=None, forget=FORGET, retain=RETAIN, unseen=UNSEEN, present=np.ones((SIZE, 4), dtype=bool)
    )
    with pytest.raises(AuditError, match="columns"):
        audit(
            [candidate("one", "original", outputs[0])], Pool(logits=outputs, included=world.pool.included), samples,
            AuditSettings(),
        )  # fmt: skip
