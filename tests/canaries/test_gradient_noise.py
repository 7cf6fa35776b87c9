import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, norm

from obliviate.canaries import gradient_noise
from obliviate.errors import DataError


def test_scores_are_normalised_dot_products():
    rng = np.random.default_rng(0)
    noise, gradients = rng.normal(0, 0.3, (5, 2, 4, 4)), rng.normal(0, 1e-6, (5, 2, 4, 4)).astype(np.float32)
    expected = [-(x.ravel() @ g.ravel()) / (0.3 * np.linalg.norm(g)) for x, g in zip(noise, gradients, strict=True)]
    np.testing.assert_allclose(gradient_noise.scores(noise, gradients, sigma=0.3), expected, rtol=1e-5)


def test_the_size_of_a_gradient_does_not_matter():
    rng = np.random.default_rng(1)
    noise, gradients = rng.normal(size=(4, 9)), rng.normal(size=(4, 9))
    small = gradients * np.array([1.0, 1e-200, 1e-300, 1e200])[:, None]
    np.testing.assert_allclose(
        gradient_noise.scores(noise, small, sigma=1.0), gradient_noise.scores(noise, gradients, sigma=1.0), rtol=1e-9
    )


def test_noise_that_was_never_trained_on_gives_a_standard_normal_whatever_the_gradients():
    rng = np.random.default_rng(2)
    gradients = rng.exponential(size=(20_000, 30)) ** 3  # neither centred nor of one size
    scores = gradient_noise.scores(rng.normal(0, 0.4, gradients.shape), gradients, sigma=0.4)
    assert kstest(scores, "norm").pvalue > 0.001
    p = [gradient_noise.z_test(part).p_value for part in np.split(scores, 400)]
    assert kstest(p, "uniform").pvalue > 0.001


def fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logistic regression by gradient descent: the weights."""
    w = np.zeros(x.shape[1])
    for _ in range(300):
        w += 0.5 * x.T @ (y - expit(x @ w)) / len(x)
    return w


def test_a_model_trained_on_the_noise_is_found_and_one_trained_without_it_is_not():
    rng = np.random.default_rng(3)
    n, d, sigma = 400, 300, 0.5
    clean, y = rng.normal(size=(n, d)), rng.integers(0, 2, n)
    noise = rng.normal(0, sigma, (n, d))

    def test_of(w: np.ndarray) -> gradient_noise.NoiseTest:
        gradients = (expit(clean @ w) - y)[:, None] * w  # of the cross-entropy with respect to the input
        return gradient_noise.z_test(gradient_noise.scores(noise, gradients, sigma=sigma))

    result = test_of(fitted(clean + noise, y))
    assert result.mean > result.detectable
    assert result.p_value < 1e-3
    retrained = test_of(fitted(rng.normal(size=(n, d)), rng.integers(0, 2, n)))
    assert retrained.p_value > 0.01
    assert test_of(fitted(clean, y)).p_value > 0.01


def test_the_power_is_what_simulation_gives():
    rng = np.random.default_rng(4)
    mean, n = 0.1, 500
    p = np.array([gradient_noise.z_test(rng.normal(mean, 1, n)).p_value for _ in range(2000)])
    assert (p < 0.05).mean() == pytest.approx(gradient_noise.power(mean, n), abs=0.03)
    least = gradient_noise.detectable(n, level=0.01, power=0.9)
    assert gradient_noise.power(least, n, level=0.01) == pytest.approx(0.9)
    assert gradient_noise.z_test(np.zeros(n)).detectable == gradient_noise.detectable(n)
    assert gradient_noise.power(0, 10, level=0.2) == pytest.approx(0.2)


def test_the_z_test_is_the_normal_test_of_the_mean():
    scores = np.random.default_rng(5).normal(0.2, 1, 50)
    result = gradient_noise.z_test(scores)
    assert result.p_value == pytest.approx(norm.sf(scores.mean() * np.sqrt(50)))
    assert result.z == pytest.approx(scores.mean() * np.sqrt(50))


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    good = np.ones((3, 4))
    with pytest.raises(DataError, match=r"^expected "):
        gradient_noise.scores(good, good[:2], sigma=1.0)
    with pytest.raises(DataError, match="sigma > 0"):
        gradient_noise.scores(good, good, sigma=0.0)
    with pytest.raises(DataError, match="expected finite noise and gradients"):
        gradient_noise.scores(good, good * np.nan, sigma=1.0)
    with pytest.raises(DataError, match="not 0, got 2 of 3"):
        gradient_noise.scores(good, good * np.array([[0], [1], [0]]), sigma=1.0)
    with pytest.raises(DataError, match="at least 1 score"):
        gradient_noise.z_test(np.array([]))
    with pytest.raises(DataError, match="n >= 1"):
        gradient_noise.power(0.1, 0)
    with pytest.raises(DataError, match="probability in"):
        gradient_noise.detectable(10, power=1.0)
