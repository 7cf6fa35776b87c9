"""Every attack keeps the contract, and one that finds nothing is found out."""

from operator import attrgetter

import pytest

from guessing_attack import Guess
from obliviate import membership
from obliviate.membership.base import Attack, Scores, Target
from obliviate.membership.checks import CHECKS, Check

ATTACKS: list[Attack] = [
    *(cls() for cls in membership.BUILT_IN),
    membership.RMIA(form="taylor"),
    membership.RMIA(temperature=1.0),
    membership.LiRA(variance="shrunk"),
    membership.RMIAOffline(a=0.5),
]


@pytest.mark.parametrize("check", CHECKS, ids=attrgetter("__name__"))
@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_every_attack_keeps_the_contract(attack: Attack, check: Check) -> None:
    check(attack)


class Inverted(membership.Correctness):
    """Higher for samples that the model gets wrong."""

    def __call__(self, target: Target) -> Scores:
        return -target.outputs.correct


@pytest.mark.parametrize("attack", [Guess(), Inverted()], ids=lambda attack: type(attack).__name__)
def test_an_attack_that_finds_nothing_fails_the_checks(attack: Attack) -> None:
    finds = next(check for check in CHECKS if check.__name__ == "finds_a_model_that_remembers")
    with pytest.raises(AssertionError, match="on a model that remembers"):
        finds(attack)
