"""What an audit refuses before any score is computed."""

from dataclasses import replace

import numpy as np
import pytest

from guessing_attack import Guess
from obliviate import membership
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate, Pool
from obliviate.errors import AuditError
from simulated_models import CLASSES, MODELS, RETAIN, SIZE, UNSEEN, World


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


def test_an_audit_needs_an_attack_that_verdicts_rest_on_and_each_once() -> None:
    with pytest.raises(AuditError, match=r"expected first an attack that needs references .*, got none"):
        AuditSettings(attacks=(Guess(),))
    with pytest.raises(AuditError, match="expected attacks with distinct names"):
        AuditSettings(attacks=(membership.RMIA(), membership.RMIA(gamma=1.0)))
