"""Every kind of file that is read back is damaged, bit by bit and as a whole; `benchmarks/bit_flips.py` is longer."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from quick_audits import undrawn
from repository_scripts import benchmark
from type_checks import unchecked

SOUND = {"found", "started over", "no effect"}


@pytest.fixture(scope="module")
def bit_flips() -> Iterator[ModuleType]:
    """The benchmark; run-time checks of types are off, which look into files on their own, and so are plots."""
    with unchecked(), undrawn(), benchmark("bit_flips") as module:
        yield module


@pytest.fixture(scope="module")
def ground(bit_flips: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return bit_flips.Ground(tmp_path_factory.mktemp("ground"))


def test_every_kind_of_file_is_there_and_read_twice_alike(bit_flips: ModuleType, ground: Any) -> None:
    read: set[Any] = set()
    for kind in bit_flips.KINDS:
        (first, *_) = kind.files(ground.root)
        if (kind.within, kind.read) in read:
            continue
        read.add((kind.within, kind.read))
        again = ground.change(kind, first, first.read_bytes(), "nothing")
        assert (again.outcome, again.message) == ("no effect", ""), again


def test_no_flipped_bit_changes_a_result_in_silence(bit_flips: ModuleType, ground: Any) -> None:
    generator = np.random.default_rng(1)
    flips = [ground.flip(bit_flips.KINDS[place % len(bit_flips.KINDS)], generator) for place in range(108)]
    assert [flip for flip in flips if flip.outcome not in SOUND] == []
    assert sum(flip.outcome == "found" for flip in flips) > 60
    assert sum(flip.outcome == "started over" for flip in flips) > 10


@pytest.mark.parametrize("damage", ["cut short", "empty", "folder"])
def test_damaged_files_are_named_or_their_stage_starts_over(bit_flips: ModuleType, ground: Any, damage: str) -> None:
    for kind in bit_flips.KINDS:
        path = kind.files(ground.root)[-1]
        content = {"cut short": path.read_bytes()[:-7], "empty": b"", "folder": None}[damage]
        changed = ground.change(kind, path, content, damage)
        assert changed.outcome in SOUND, changed
        assert changed.outcome == "no effect" or path.name in changed.message, changed


def test_aimed_changes_of_outputs_of_references_are_all_found(ground: Any) -> None:
    aimed = ground.aimed()
    assert len(aimed) == 28
    assert {flip.outcome for flip in aimed} == {"found"}
