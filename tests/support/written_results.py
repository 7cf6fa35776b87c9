"""One model of a results.json, with as little as the schema allows."""

from obliviate.results.attacks import AttackOutcome
from obliviate.results.model import Accuracies, Curves, Exposure, MarginDensities, ModelResult, RocCurve
from obliviate.results.values import Interval

HALF = Interval(value=50.0, low=48.0, high=52.0)


def model(name: str) -> ModelResult:
    return ModelResult(
        name=name, role="unlearned", method="FineTune()", seed=0, settings={"tau": 0.5},
        accuracy=Accuracies(forget=HALF, retain=HALF, test=HALF), attacks={"rmia": AttackOutcome(ft=HALF)},
        average_gap=None, test_accuracy_difference=HALF, utility=(), damage="", seconds=None,
        share_of_retraining=None, weights_sha256="0" * 64, verdict="leaks", margin=5.0, resolution=2.0,
        reason="It leaks.", exposure=Exposure(shares={}, samples=()), distances=None, cheap_attacks={},
        class_membership=None, klom=None,
        competition=None,
        curves=Curves(
            roc_ft=RocCurve(fpr=(0.0, 1.0), tpr=(0.0, 1.0)),
            margins=MarginDensities(forget=(1.0,), retain=(1.0,), unseen=(1.0,)),
        ),
    )  # fmt: skip
