"""Jobs name their samples: nothing is copied that lies on a disk already, and the rest is written once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from obliviate.data.samples import Samples
from obliviate.data.stores import DatasetStore, TensorStore
from obliviate.errors import AuditError
from obliviate.references.handover import portable, read_value, remove_samples, write_value
from obliviate.references.jobs import JOB, Job
from obliviate.references.pool import ReferencePool, train_pool
from pools import names_in, same


class OfFile(Dataset[tuple[Tensor, Tensor]]):
    """Rows that are read from a file when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 60

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        x, y = torch.load(self.path, weights_only=True)
        return x[row], y[row]


@pytest.fixture
def lazy(tiny: Samples, tmp_path: Path) -> Samples:
    batch = tiny.everything()
    torch.save((batch.x, batch.y), tmp_path / "rows.pt")
    return Samples.from_dataset(OfFile(tmp_path / "rows.pt"), ids=tiny.ids, in_memory=False)


def test_samples_in_memory_are_written_once_and_the_job_is_small(job: Job, tmp_path: Path, tiny: Samples) -> None:
    twice = {"all": tiny, "some": tiny.select(["s03", "s01"])}
    write_value(tmp_path / "value", twice)
    assert len(list(tmp_path.glob("samples-*.pt"))) == 1
    assert (tmp_path / "value").stat().st_size < 8_000
    read = read_value(tmp_path / "value")
    assert read["some"].ids.tolist() == ["s03", "s01"]
    assert read["some"].everything().x.equal(twice["some"].everything().x)
    assert isinstance(read["all"].store, TensorStore)
    remove_samples(tmp_path)
    assert names_in(tmp_path) == {"value"}


def test_a_data_set_is_named_and_not_copied(
    lazy: Samples, tmp_path: Path, whole: ReferencePool, at_once: Any, three_classes: Any, tiny_recipe: Any
) -> None:
    assert portable(lazy).store is lazy.store
    written: set[str] = set()
    folder = tmp_path / "pools"
    pool = train_pool(
        tiny_recipe, lazy, three_classes, folder=folder, models=4, seed=1, executor=at_once,
        progress=lambda stage, done, total: written.update(names_in(folder)),
    )  # fmt: skip
    same(pool, whole)
    assert any(name.endswith(JOB) for name in written)
    assert not any("samples-" in name for name in written)


def test_a_data_set_that_only_this_process_can_read_is_written(lazy: Samples, tmp_path: Path) -> None:
    class Local(OfFile):
        pass

    local = Samples(DatasetStore(Local(tmp_path / "rows.pt")), lazy.ids, lazy.rows)
    assert isinstance(portable(local).store, TensorStore)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), r"expected the data set of the job, got a failure .FileNotFoundError.*; name"),
        (
            lambda path: torch.save((torch.ones(60, 6), torch.zeros(60)), path),
            r"expected the samples of the job in its",
        ),
    ],
    ids=["gone", "others"],
)
def test_a_data_set_that_is_another_elsewhere_is_refused(
    job: Job, lazy: Samples, tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    sha256 = replace(job, population=lazy).write(tmp_path)
    spoil(tmp_path / "rows.pt")
    with pytest.raises(AuditError, match=problem):
        Job.read(tmp_path, sha256)


def test_a_file_of_samples_that_was_damaged_is_refused(job: Job, tmp_path: Path) -> None:
    sha256 = job.write(tmp_path)
    (path,) = tmp_path.glob("samples-*.pt")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(AuditError, match=r"expected sha256 .* in .*samples-\w+.pt; .*begin again"):
        Job.read(tmp_path, sha256)
