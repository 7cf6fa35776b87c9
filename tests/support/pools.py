"""Pools of references, and how they are compared."""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file

from obliviate.references.pool import ReferencePool

Make = Callable[..., ReferencePool]


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def same(pool: ReferencePool, other: ReferencePool) -> None:
    """Both have the same files, with the same tensors, bit for bit."""
    assert names_in(pool.folder) == names_in(other.folder)
    for path in pool.folder.glob("*.safetensors"):
        ours, theirs = load_file(path), load_file(other.folder / path.name)
        assert set(ours) == set(theirs)
        assert all(ours[name].equal(theirs[name]) for name in ours)
