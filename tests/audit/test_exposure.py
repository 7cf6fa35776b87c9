import numpy as np

from obliviate.audit.exposure import NAMED, exposure


def test_a_model_that_never_saw_the_samples_exposes_as_many_as_chance_does() -> None:
    random = np.random.default_rng(0)
    forget, unseen = random.normal(size=4000), random.normal(size=4000)
    result = exposure(forget, unseen, np.arange(4000).astype(str), None)
    for level, share in result.shares.items():
        assert share.low < 100 * float(level) < share.high
    assert len(result.samples) == NAMED


def test_the_most_exposed_come_first_with_their_ranks_among_unseen_samples() -> None:
    result = exposure(np.array([0.5, 9.0, 12.0]), np.arange(9.0), np.array(["a", "b", "c"]), np.array([3, 4, 5]))
    assert [(sample.name, sample.label, sample.p) for sample in result.samples] == [
        ("c", 5, 0.1),
        ("b", 4, 0.1),
        ("a", 3, 0.9),
    ]
    assert result.shares["0.05"].value == 0.0


def test_a_model_that_is_surer_of_everything_is_not_blamed() -> None:
    random = np.random.default_rng(1)
    forget, unseen, names = random.normal(size=300), random.normal(size=300), np.arange(300).astype(str)
    assert exposure(forget + 5, unseen + 5, names, None) == exposure(forget, unseen, names, None)
