"""Results as an audit makes them, of simulated models: the audit is real, the models are not trained."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from obliviate import workflow
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, Role, Shadows
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.report import pictures
from obliviate.results.model import Competition
from obliviate.results.schema import Results, exposed_names
from obliviate.task import Classification
from obliviate.training.recipe import Recipe

SIZE, CLASSES, MODELS = 1600, 3, 8
FORGET, RETAIN, UNSEEN = np.split(np.arange(SIZE), [250, 550])  # 1,050 unseen samples resolve a rate of 1 %


class World:
    """Logits of models that are surer of what they were trained on."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.labels = self.rng.integers(0, CLASSES, SIZE)
        self.difficulty = self.rng.normal(1, 1.5, SIZE)
        plan = np.tile(np.arange(MODELS)[:, None] < MODELS // 2, SIZE)
        included = self.rng.permuted(plan, axis=0)
        self.pool = Pool(logits=[self.logits(2.0 * row) for row in included], included=included)
        names = np.array([f"s{i:04d}" for i in range(SIZE)])
        self.samples = AuditSamples(labels=self.labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN, ids=names)

    def logits(self, boost: np.ndarray) -> np.ndarray:
        logits = self.rng.normal(0, 0.5, (SIZE, CLASSES))
        logits[np.arange(SIZE), self.labels] += self.difficulty + boost
        return logits.astype(np.float32)

    def candidate(self, name: str, role: Role, *parts: np.ndarray, shadows: Shadows | None = None) -> Candidate:
        boost = np.zeros(SIZE)
        boost[np.concatenate(parts)] = 2.0
        return Candidate(
            name=name,
            role=role,
            method=f"{name}()",
            seed=0,
            logits=self.logits(boost),
            seconds=2.0,
            weights_sha256="0" * 64,
            settings={"tau": 0.5},
            shadows=shadows,
        )

    def shadows(self) -> Shadows:
        """References that forgot: they know neither the forget samples nor as many unseen ones."""
        index = np.concatenate([FORGET, UNSEEN[: len(FORGET)]])
        logits = [self.logits(np.zeros(SIZE))[index] for _ in range(MODELS)]
        return Shadows(
            logits=logits,
            included=self.pool.included[:, index],
            index=index,
            forget=np.arange(len(index)) < len(FORGET),
        )


@pytest.fixture(scope="session")
def make(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[list[Candidate], World, AuditSettings], Results]:
    """Audit candidates and describe the outcome as the command line does."""
    train, unseen = tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])
    split = Split.of(train, forget=train.ids[5:15])
    folder = tmp_path_factory.mktemp("pool")
    experiment = Experiment(three_classes, tiny_recipe, train, unseen)
    pool = workflow.train_references(experiment, folder=folder, models=4, workers=0, keep_weights=False)

    def results(candidates: list[Candidate], world: World, settings: AuditSettings) -> Results:
        return workflow.describe(
            experiment,
            audit(candidates, world.pool, world.samples, settings),
            split,
            pool,
            workflow.Circumstances(
                data_name="simulated",
                data_sha256="0" * 64,
                forget_rule="ids",
                wall_seconds=1.0,
                command="obliviate audit",
            ),
        )

    return results


@pytest.fixture(scope="session")
def _full(make: Callable[..., Results]) -> dict[str, Any]:
    world = World()
    candidates = [
        world.candidate("original", "original", FORGET, RETAIN),
        *(world.candidate(f"retrain {seed}", "retrained", RETAIN) for seed in (1, 2)),
        world.candidate("forgetful", "unlearned", RETAIN, shadows=world.shadows()),
    ]
    results = make(candidates, world, AuditSettings(cheap_attacks=True))
    values = results.to_dict()
    scored = Competition(models=16, shadows_needed=64, quality=0.125, floor=0.1875, score=0.115)  # of 64 shadows
    values["models"][-1]["competition"] |= scored.model_dump()
    rng = np.random.default_rng(0)
    names = exposed_names(results.models, pictures.SHOWN)
    values["pictures"] = {name: pictures.data_uri(rng.random((1, 8, 8))) for name in names}
    return values


@pytest.fixture
def full(_full: dict[str, Any]) -> dict[str, Any]:
    """The content of a results.json with everything that an audit can give, pictures included; a copy to change."""
    return copy.deepcopy(_full)


@pytest.fixture(scope="session")
def _by_references(make: Callable[..., Results]) -> dict[str, Any]:
    world = World()
    candidates = [
        world.candidate("original", "original", FORGET, RETAIN),
        world.candidate("forgetful", "unlearned", RETAIN),
    ]
    return make(candidates, world, AuditSettings()).to_dict()


@pytest.fixture
def by_references(_by_references: dict[str, Any]) -> dict[str, Any]:
    """The content of a results.json without a retrained model; a copy to change."""
    return copy.deepcopy(_by_references)
