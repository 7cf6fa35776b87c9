"""The settings of torch that make a GPU give the same bits each time; no GPU is needed to see them set."""

import os
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.determinism import CUBLAS, repeatable
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

GPU = torch.device("cuda")


def settings() -> tuple[bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.cudnn_sdp_enabled(),
    )


@pytest.fixture(autouse=True)
def before(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[bool, bool, bool, bool]]:
    """The settings that there are, which every test has to give back; of the last one torch has had two defaults."""
    monkeypatch.setenv(CUBLAS, "")
    monkeypatch.delenv(CUBLAS)
    before = settings()
    assert before[:3] == (False, False, False)
    yield before
    assert settings() == before


def test_a_gpu_is_asked_for_the_same_bits_and_asked_no_more_at_the_end(before: tuple[bool, bool, bool, bool]):
    def stopped() -> None:
        with repeatable(GPU):
            assert settings() == (True, True, False, False)
            assert os.environ[CUBLAS] == ":4096:8"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert settings() == before


def test_whoever_insists_on_it_is_still_refused_what_has_no_such_kernel(before: tuple[bool, bool, bool, bool]):
    torch.use_deterministic_algorithms(True)
    try:
        with repeatable(GPU):
            assert settings() == (True, False, False, False)
        assert settings() == (True, *before[1:])
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_processor_needs_no_settings(before: tuple[bool, bool, bool, bool]):
    with repeatable(torch.device("cpu")):
        assert settings() == before


def test_trainings_are_repeatable(
    tiny: Samples, tiny_recipe: Recipe, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("obliviate.training.run.repeatable", lambda _: repeatable(GPU))
    seen = list[bool]()

    class Looking(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.append(settings()[0])
            return super().forward(input)

    run = Run(three_classes, recipe=tiny_recipe, device="cpu")
    run.train_stage("train", Looking(6, 3), tiny, 1)
    assert seen
    assert all(seen)
