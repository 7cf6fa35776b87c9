import subprocess
import sys
from pathlib import Path

import pytest

from obliviate.errors import DataError
from obliviate.metrics.cost import peak_rss_mb, share_of_retraining


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
