"""Samples that remember how often they were read."""

from obliviate.data.samples import Samples
from obliviate.testing import counted, recorded


def test_reads_are_counted_by_id_from_any_part_of_the_samples(tiny: Samples) -> None:
    samples, reads = counted(tiny)
    samples.select(["s03", "s01"]).everything()
    samples.select(["s03"]).everything()
    assert reads() == {"s03": 2, "s01": 1}


def test_the_ids_that_were_read_are_recorded(tiny: Samples) -> None:
    samples, read = recorded(tiny)
    assert read() == set()
    batch = samples.everything()
    assert read() == set(tiny.ids.tolist())
    assert batch.x.equal(tiny.everything().x)
