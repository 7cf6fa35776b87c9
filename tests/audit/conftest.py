"""An audit of simulated models."""

import numpy as np
import pytest

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.audit.result import AuditResult
from obliviate.results.model import ModelResult
from simulated_models import CLASSES, FORGET, RETAIN, SIZE, World, indicator


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def result(world: World, candidates: list[Candidate]) -> AuditResult:
    return audit(candidates, world.pool, world.samples, AuditSettings())


@pytest.fixture(scope="session")
def models(result: AuditResult) -> dict[str, ModelResult]:
    return {model.name: model for model in result.models}
