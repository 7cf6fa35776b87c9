import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.special import log_softmax

from obliviate.errors import DataError
from obliviate.metrics.cost import peak_rss_mb, share_of_retraining
from obliviate.metrics.utility import accuracy, correct, margin


def test_accuracy_counts_the_samples_whose_largest_logit_is_the_label():
    logits = np.eye(4)[[0, 1, 2, 3, 0]]
    labels = np.array([0, 1, 2, 0, 3])
    assert correct(logits, labels).tolist() == [True, True, True, False, False]
    assert accuracy(logits, labels) == pytest.approx(0.6)


def test_margin_is_the_log_odds_of_the_true_class():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    probability = np.exp(log_softmax(logits, axis=1))[np.arange(50), labels]
    np.testing.assert_allclose(margin(logits, labels), np.log(probability) - np.log1p(-probability))


def test_margin_of_two_classes_is_the_difference_of_logits_even_when_softmax_saturates():
    logits = np.array([[800.0, -800.0], [-800.0, 800.0]], dtype=np.float32)
    result = margin(logits, np.array([0, 0]))
    assert result.dtype == np.float64
    assert result.tolist() == [1600.0, -1600.0]


def test_margin_leaves_the_logits_as_they_were():
    logits = np.array([[1.0, 2.0]])
    margin(logits, np.array([0]))
    assert logits.tolist() == [[1.0, 2.0]]


def test_unusable_logits_are_refused():
    good = np.zeros((2, 3))
    with pytest.raises((DataError, TypeCheckError)):
        accuracy(good, np.array([0]))
    with pytest.raises(DataError, match=r"labels in \[0, 3\)"):
        margin(good, np.array([0, 3]))
    with pytest.raises(DataError, match="labels in"):
        correct(good, np.array([0, -1]))
    with pytest.raises(DataError, match="without NaN"):
        accuracy(np.full((2, 3), np.nan), np.array([0, 1]))


def test_share_of_retraining_needs_measured_times():
    assert share_of_retraining(30.0, 120.0) == 0.25
    with pytest.raises(DataError, match="retraining_seconds > 0"):
        share_of_retraining(1.0, 0.0)
    with pytest.raises(DataError, match="seconds >= 0"):
        share_of_retraining(float("nan"), 1.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the oracle is /proc")
def test_peak_memory_adds_the_largest_child_in_mebibytes():
    subprocess.run([sys.executable, "-c", "b'x' * (200 << 20)"], check=True)
    peak = peak_rss_mb()
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    assert own + 195 < peak < 100 * own
