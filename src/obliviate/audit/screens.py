"""Cheap screens: attacks of the literature that look at one model only, without references. No verdict rests on them.

Published tables were made with them. A figure means something beside that of the retrained models only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from obliviate.attacks.membership import boosted_trees, logistic, svc
from obliviate.audit.inputs import NLL
from obliviate.metrics.intervals import Interval, balanced_accuracy

Parts = Mapping[str, np.ndarray]


def screen(logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"] | None, parts: Parts) -> dict[str, Interval]:
    """Balanced accuracy of every screen on forget (as members) against unseen samples, as fractions.

    `parts` hold the indices of forget, retain and unseen samples. `mia_loss`, `mia_entropy` and `mia_confidence` are
    logistic regressions (∇τ, arXiv 2403.14339); `svc_…` are those of SalUn, one feature each; `asr` are trees on sorted
    softmaxes (LAF, MixUnlearn). The last two learn from retained samples. Without `labels` (`inputs.Candidate`) there
    are no softmaxes, and only the loss and its confidence are looked at.

    >>> rng = np.random.default_rng(0)
    >>> parts = {"forget": np.arange(40), "retain": np.arange(40, 80), "unseen": np.arange(80, 160)}
    >>> sorted(screen(rng.normal(size=(160, 3)), rng.integers(0, 3, 160), parts))[:3]
    ['asr', 'mia_confidence', 'mia_entropy']
    """
    forget, retain, unseen = (parts[name] for name in ("forget", "retain", "unseen"))
    asked = np.concatenate([forget, unseen])
    members = np.arange(len(asked)) < len(forget)
    if labels is None:
        nll = logits[asked, NLL].astype(np.float64)
        simple = {"mia_loss": nll, "mia_confidence": np.exp(-nll)}
    else:
        simple = {
            "mia_loss": logistic.loss(logits[asked], labels[asked]),
            "mia_entropy": logistic.entropy(logits[asked]),
            "mia_confidence": logistic.confidence(logits[asked], labels[asked]),
        }
    found = {}
    for name, feature in simple.items():
        scores = logistic.scores(feature, members)
        found[name] = balanced_accuracy(scores[members], scores[~members])
    if labels is None:
        return found
    for name, values in svc.features(logits, labels).items():
        found[f"svc_{name}"] = balanced_accuracy(*svc.success(values[forget], values[retain], values[unseen]))
    softmax = boosted_trees.sorted_softmax(logits)
    found["asr"] = balanced_accuracy(*boosted_trees.success(softmax[forget], softmax[retain], softmax[unseen]))
    return found
