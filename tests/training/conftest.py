import pytest
import torch

from obliviate.data.samples import Samples


@pytest.fixture(scope="module")
def images() -> Samples:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(30) % 3
    return Samples.from_tensors(torch.rand(30, 1, 6, 6, generator=generator) + 0.3 * y[:, None, None, None], y)


@pytest.fixture
def report_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between two reports of progress."""
    monkeypatch.setattr("obliviate.training.progress.TICK", 0.0)
