"""Results such as a run of four methods on 5,000 images leaves behind."""

import hashlib
from typing import Any

import numpy as np

EDGES = np.linspace(-10, 18, 41)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def density(rng: np.random.Generator, mean: float) -> list[float]:
    values, _ = np.histogram(rng.normal(mean, 3, 4000).clip(-10, 18), bins=EDGES, density=True)
    return values.tolist()


def roc(auc: float) -> dict[str, list[float]]:
    """A binormal-like curve tpr = fpr^k, whose area is 1 / (1 + k)."""
    fpr = np.concatenate([[0.0], np.geomspace(1 / 500, 1, 80)])
    return {"fpr": fpr.tolist(), "tpr": (fpr ** (100 / auc - 1)).tolist()}


def model(
    name: str,
    role: str,
    method: str,
    accuracy: tuple[float, float, float],
    ft: float,
    verdict: str,
    seconds: float,
    share: float | None,
    reason: str = "One sentence on why.",
) -> dict[str, Any]:
    rng = np.random.default_rng(int(sha(name)[:8], 16))
    parts = dict(zip(("forget", "retain", "test"), accuracy, strict=True))

    def game(auc: float) -> dict[str, float]:
        return {"value": auc, "low": auc - 2.8, "high": auc + 2.8}

    def attack(shift: float, *, decisive: bool, rates: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        difference = {**around(ft - 50.4 - shift), "p_above": 0.4, "p_below": 0.6, "resolution": 2.0}
        games = {"ft": game(ft - shift), "fr": game(113 - ft - shift), "rt": game(63.4 - shift)}
        return {**games, "difference": difference if decisive else None, "rates": rates or []}

    def around(value: float, half: float = 3.0) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half}

    shares = {"0.01": {"value": 1.2, "low": 0.4, "high": 2.6}, "0.05": {"value": 5.2, "low": 3.4, "high": 7.5}}
    resolved = {"fpr": 1.0, "unseen_needed": 1000, "tpr": around(ft / 40, 1.0), "realised_fpr": around(1.1, 0.3)}
    unresolved = {"fpr": 0.1, "unseen_needed": 10000, "tpr": None, "realised_fpr": None}
    distance = {"js": 0.03, "softmax": 0.09, "agreement": 0.935}
    return {
        "name": name,
        "role": role,
        "method": method,
        "seed": 0,
        "settings": {},
        "accuracy": {k: {"value": v, "low": max(0.0, v - 1.4), "high": min(100.0, v + 1.4)} for k, v in parts.items()},
        "attacks": {
            "rmia": attack(0.0, decisive=True, rates=[resolved, unresolved]),
            "lira": attack(0.5, decisive=True, rates=[resolved, unresolved]),
            "correctness": attack(0.9, decisive=True),
            "rmia_offline": attack(0.9, decisive=False),
        },
        "average_gap": abs(ft - 50.4) / 2,
        "test_accuracy_difference": around(accuracy[2] - 87.1, 1.3),
        "seconds": seconds,
        "share_of_retraining": share,
        "weights_sha256": sha(name),
        "verdict": verdict,
        "margin": 2.64,
        "resolution": 2.64,
        "reason": reason,
        "utility": [figure("accuracy", part, accuracy[1 + place]) for place, part in enumerate(("retain", "unseen"))]
        + [figure("balanced accuracy", part, accuracy[1 + place]) for place, part in enumerate(("retain", "unseen"))]
        + [figure("recall of class 3", "unseen", accuracy[2] - 9)],
        "damage": "",
        "exposure": {
            "shares": shares,
            "samples": [{"name": f"sample-{i}", "label": i % 10, "p": (i + 1) / 2501} for i in range(20)],
        },
        "distances": dict.fromkeys(("forget", "retain", "unseen"), distance),
        "cheap_attacks": {},
        "klom": None,
        "class_membership": None,
        "competition": None,
        "curves": {
            "roc_ft": roc(ft),
            "margins": {
                "forget": density(rng, 4 + (ft - 50) / 3),
                "retain": density(rng, 9),
                "unseen": density(rng, 4),
            },
        },
    }


def figure(name: str, part: str, value: float) -> dict[str, Any]:
    expected = {"retain": 99.8, "unseen": 87.1}[part]
    difference = {"value": value - expected, "low": value - expected - 1, "high": value - expected + 1}
    facts = {"margin": 3.0, "resolved": True, "lost": value < expected - 10}
    return {"figure": name, "part": part, "unit": "percent", "value": value, "expected": expected} | {
        "difference": difference, **facts
    }  # fmt: skip


def used(name: str, title: str, use: str) -> dict[str, Any]:
    return {"name": name, "title": title, "source": f"the paper of {title}", "use": use, "settings": {}, "fitted": {}}


def example() -> dict[str, Any]:
    """Results such as a run of four methods on 5,000 images leaves behind; a fresh dict on every call."""
    same = "consistent with retraining"
    models = [
        model("original", "original", "train(epochs=20)", (100.0, 99.7, 88.0), 64.3, "leaks", 23.4, None),
        *(
            model(f"retrained-{i}", "retrained", "Retrain()", (87.2 + i / 2, 99.8, 87.0 + i / 4), ft, same, 22.9, 1.0)
            for i, ft in enumerate((50.4, 49.1, 51.6))
        ),
        model(
            "AMUN", "unlearned", "AMUN(epochs=3, learning_rate=0.01, steps=50)", (88.4, 98.9, 87.1), 51.2, same,
            4.4, 0.19,
            "FT-AUC differs from retraining by +0.8 points, and the whole interval lies within the margin of 5 points.",
        ),
        model(
            "fine-tune", "unlearned", "FineTune(epochs=3, learning_rate=0.05)", (97.2, 99.9, 88.1), 60.7,
            "leaks", 3.6, 0.157, "FT-AUC is 10.3 points above the retrained models.",
        ),
        model(
            "gradient ascent", "unlearned", "GradientAscent(epochs=2)", (31.0, 74.2, 69.5), 38.2, "utility lost",
            0.8, 0.035, "Test accuracy is 17.6 points below the retrained models.",
        ),
        model(
            "boundary", "unlearned", "Boundary(epochs=4)", (79.6, 97.4, 85.6), 44.9, "over-unlearned", 5.9, 0.26,
            "Forget samples stand out: FT-AUC is 5.5 points below the retrained models.",
        ),
    ]  # fmt: skip
    return {
        "schema": "obliviate.results/5",
        "obliviate": "0.1.0",
        "created": "2026-11-21T05:00:00Z",
        "seed": 0,
        "task": {"kind": "classification", "right": "the class is right", "settings": {"classes": 10}},
        "data": {
            "name": "fashion_mnist_5k",
            "train": 5000,
            "forget": 500,
            "retain": 4500,
            "holdout": 500,
            "test": 2500,
            "forget_rule": "random 10 %",
        },
        "data_sha256": sha("data"),
        "recipe": {"model": "small_cnn", "epochs": 20, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.1},
        "references": {"models": 16, "seconds": 45.1, "fingerprint": sha("pool")},
        "wall_seconds": 101.2,
        "peak_rss_mb": 900.1,
        "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.3.1"},
        "machine": {"cpu": "Example CPU @ 2.60GHz", "cores": 2, "system": "Linux"},
        "settings": {
            "confidence": 0.95,
            "margin": None,
            "utility_margin": 3.0,
            "one_sided": False,
            "cheap_attacks": False,
            "references": 16,
            "forget": 500,
            "retain": 1000,
            "unseen": 2500,
        },
        "attacks": [
            used("rmia", "RMIA", "verdict"),
            used("lira", "LiRA", "verdict"),
            used("correctness", "correctness", "verdict"),
            used("rmia_offline", "RMIA offline", "figure"),
        ],
        "baseline": "retrained",
        "controls": {
            "passed": True,
            "reason": "",
            "original": True,
            "condemned": [],
            "ceilings": {},
            "samples_needed": None,
            "models_needed": None,
        },
        "two_sample": {"auc": {"value": 50.3, "low": 47.5, "high": 53.1}, "p_value": 0.4, "differs": False},
        "floor": {
            "average_gap_mean": 0.62,
            "average_gap_max": 0.94,
            "ft_auc_min": 49.1,
            "ft_auc_max": 51.6,
            "retrained": 3,
        },
        "margin_bins": EDGES.tolist(),
        "models": models,
        "limits": [
            "Only a random forget set was tried; vulnerable samples may be harder to forget.",
            "The attack used 16 reference models; more of them make it stronger.",
        ],
    }
