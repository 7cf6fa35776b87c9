"""The gradient-noise test of Gaussian data poisoning (Pawelczyk et al. 2024, arXiv 2406.17216).

Before training, some samples get Gaussian noise xi of known scale; later they are to be forgotten. Whoever kept xi
looks at the gradient of the loss at the *clean* input. A model that never trained on xi has a gradient independent of
it, so that the normalised dot product is standard normal, exactly, for any model and whatever the gradients are. A
model that fitted x + xi has a loss that falls along xi. Neither reference models nor retrained ones are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from obliviate.errors import DataError


@dataclass(frozen=True, kw_only=True)
class NoiseTest:
    """What n scores say together: their mean, sum / sqrt(n), its one-sided p-value and what could have been seen.

    `detectable` is the least mean score that a test of this size at level 0.05 finds with 80 % power.
    """

    mean: float
    z: float
    p_value: float
    detectable: float


def scores(
    noise: Float[np.ndarray, " n ..."], gradients: Float[np.ndarray, " n ..."], *, sigma: float
) -> Float[np.ndarray, " n"]:
    """-<xi, g> / (sigma ||g||) of each poisoned sample; standard normal if the model never saw xi, high if it did.

    `noise` is xi ~ N(0, sigma^2) per coordinate, as it was added, before any clipping of the sum (what is clipped is no
    longer normal); `gradients` are those of the loss with respect to the input, at the clean sample. Both are (n, ...).
    The sign is chosen so that a higher score means "member", as in every attack here.
    Raises DataError for mismatched shapes, sigma <= 0, values that are not finite, and gradients of 0, which have no
    direction.

    >>> scores(np.array([[0.5, 0.0], [0.0, -1.0]]), np.array([[-3.0, 4.0], [0.0, 7.0]]), sigma=0.5).round(3).tolist()
    [0.6, 2.0]
    """
    if noise.ndim < 2 or noise.shape != gradients.shape or not len(noise) or not sigma > 0:
        raise DataError(
            f"expected noise and gradients of one shape (n >= 1, ...) and sigma > 0, got {noise.shape}, "
            f"{gradients.shape} and {sigma}; pass the noise that was added to each sample, and its scale"
        )
    xi, g = (array.reshape(len(array), -1).astype(np.float64) for array in (noise, gradients))
    if not (np.isfinite(xi).all() and np.isfinite(g).all()):
        raise DataError(
            "expected finite noise and gradients, got NaN or infinity; check that the model has not diverged"
        )
    # Divided by its largest part first, a gradient of 1e-200 keeps its direction.
    largest = np.abs(g).max(axis=1, keepdims=True)
    if flat := int((largest == 0).sum()):
        raise DataError(
            f"expected gradients that are not 0, got {flat} of {len(g)} that are; take the gradient in float64, or of "
            "the margin in place of the loss"
        )
    g = g / largest
    return -(xi * g).sum(axis=1) / (sigma * np.linalg.norm(g, axis=1))


def z_test(values: Float[np.ndarray, " n"]) -> NoiseTest:
    """The one-sided z-test of n scores of one model: is their mean above 0?

    Raises DataError for no scores and for NaN.

    >>> test = z_test(np.full(100, 0.3))
    >>> round(test.z, 3), round(test.p_value, 5), round(test.detectable, 3)
    (3.0, 0.00135, 0.249)
    """
    if not len(values) or np.isnan(values).any():
        raise DataError(f"expected at least 1 score and no NaN, got {len(values)} scores; score the poisoned samples")
    z = float(values.sum() / np.sqrt(len(values)))
    return NoiseTest(mean=float(values.mean()), z=z, p_value=float(norm.sf(z)), detectable=detectable(len(values)))


def power(mean: float, n: int, *, level: float = 0.05) -> float:
    """Probability that the test of n scores at a level finds a true mean score, in [0, 1].

    Raises DataError for n < 1 and levels outside (0, 1).

    >>> round(power(0.0, 500), 3), round(power(0.1, 500), 3)
    (0.05, 0.723)
    """
    _check(n, level)
    return float(norm.sf(norm.isf(level) - mean * np.sqrt(n)))


def detectable(n: int, *, level: float = 0.05, power: float = 0.8) -> float:
    """The least mean score that the test of n scores finds with this power.

    Raises DataError for n < 1, and levels and powers outside (0, 1).

    >>> round(detectable(500), 3)
    0.111
    """
    _check(n, level)
    _check(n, power)
    return float((norm.isf(level) - norm.isf(power)) / np.sqrt(n))


def _check(n: int, probability: float) -> None:
    if n < 1 or not 0 < probability < 1:
        raise DataError(f"expected n >= 1 and a probability in (0, 1), got {n} and {probability}; see the defaults")
