"""U-LiRA, one attacker for each sample (Hayes et al. 2024, arXiv 2403.01218): unlearned x, or never seen it?

The shadow models go through training *and unlearning*: half of them trained on x and were then made to forget it, by
the method under audit and with a forget set of the audited kind; the others never saw it. The attack is LiRA between
the two, so it knows what this method leaves behind at this sample, be it too little forgetting or too much. Attacks
that use one threshold for all samples, or compare with models that kept x, find less of it and overstate forgetting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from obliviate.membership import lira
from obliviate.membership.base import Scores, Signal, Target, Use
from obliviate.membership.moments import Moments


@dataclass(frozen=True, kw_only=True)
class ULiRA:
    """LiRA between shadows that had a sample and forgot it, and shadows that never had it."""

    name: ClassVar[str] = "ulira"
    title: ClassVar[str] = "U-LiRA"
    source: ClassVar[str] = "Hayes et al., SaTML 2025, arXiv 2403.01218"
    needs: ClassVar[frozenset[str]] = frozenset({"shadows"})
    use: ClassVar[Use] = "verdict"

    variance: lira.Variance = "auto"

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The margin."""
        return (lira.Margin(),)

    def __call__(self, target: Target) -> Scores:
        (signal,) = self.signals
        return scores(target.signal(signal), target.moments(signal), variance=self.variance)


def scores(
    target: Float[np.ndarray, " n"], moments: Moments, *, variance: lira.Variance = "auto"
) -> Float[np.ndarray, " n"]:
    """Log likelihood ratio in nats, log p(phi | unlearned) - log p(phi | never saw); above 0 means "unlearned".

    `target` holds margins (`metrics.utility.margin`) of the model after unlearning,
    `moments` those of the shadow models after unlearning: "inside" had the sample and forgot it, "outside" never saw
    it. Its game is samples that the audited model forgot against samples that it never saw; where unlearning equals
    retraining both have one distribution and the AUC is 0.5. `variance` is that of `lira`.
    `lira.p_values(target, moments)` needs only the outside half and says for each forget sample how strange the model
    would be among those that never saw it: sort them for the worst 1 % and 5 %.
    Raises DataError as `lira.online` does.

    >>> had = np.arange(8)[:, None] < 4
    >>> moments = Moments.of(np.array([[5.0, 6, 7, 6, 1, 2, 3, 2]]).T, had)
    >>> scores(np.array([6.0]), moments).round(3).tolist()
    [12.0]
    """
    return lira.online(target, moments, variance=variance)
