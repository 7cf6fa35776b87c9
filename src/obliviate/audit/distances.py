"""How far a model's outputs are from those of retrained models, and its margins from those of models that never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from obliviate.errors import DataError
from obliviate.metrics.distance import agreement, js_divergence, klom, percentiles, softmax_distance
from obliviate.results.model import Distance, Distances, Klom, Percentiles

Logits = Float[np.ndarray, "n c"]


def to_retrained(model: Logits, others: Sequence[Logits], parts: Mapping[str, np.ndarray]) -> Distances:
    """Mean distances of a model's outputs to those of each other model, averaged over these, for every part.

    `js` in bits, `softmax` as L2, `agreement` as a fraction. Between two retrained models they are the floor.
    """

    def on(index: np.ndarray) -> Distance:
        outputs = model[index]
        return Distance(
            js=float(np.mean([js_divergence(outputs, other[index]).mean() for other in others])),
            softmax=float(np.mean([softmax_distance(outputs, other[index]).mean() for other in others])),
            agreement=float(np.mean([agreement(outputs, other[index]) for other in others])),
        )

    return Distances(forget=on(parts["forget"]), retain=on(parts["retain"]), unseen=on(parts["unseen"]))


def klom_of_shadows(margins: Float[np.ndarray, "shadows k"], included: Bool[np.ndarray, "shadows k"]) -> Klom:
    """KLoM of every sample between shadows that had and forgot it and shadows that never had it, as percentiles.

    Half of the latter are compared with the former and with the other half, which is the floor. All groups have the
    size of the smallest, a quarter of the shadows, for KLoM falls with the number of models; few tell little.
    Raises DataError where a sample has fewer than 2 shadows of each kind.
    """
    size = int(min(included.sum(axis=0).min(), (~included).sum(axis=0).min() // 2))
    if size < 1:
        raise DataError(f"expected every sample in 1 shadow and out of 2, got {len(margins)} shadows; make more")
    order = np.argsort(included, axis=0, kind="stable")  # never had it first
    never, had = (np.take_along_axis(margins, rows, axis=0) for rows in (order, order[::-1]))
    return Klom(
        unlearned=Percentiles(**percentiles(klom(had[:size], never[:size]))),
        floor=Percentiles(**percentiles(klom(never[size : 2 * size], never[:size]))),
    )
