"""Runs that can be counted and killed."""

import pytest

from obliviate.testing import Bench
from obliviate.testing.runs import Killed
from sound_method import Sound


def test_batches_are_counted_and_the_run_is_killed_before_its_last(bench: Bench) -> None:
    run = bench.run()
    bench.forget(Sound(), run=run)
    assert run.taken == 2 * 4  # epochs, and batches of 64 out of 216 retained samples
    killed = bench.run()
    killed.last = 3
    with pytest.raises(Killed):
        bench.forget(Sound(), run=killed)
    assert killed.taken == 3
