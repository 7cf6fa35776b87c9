"""A pool whose training is killed in the middle, on whatever makes it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doomed import Doomed, arm, victim_of
from obliviate.references.pool import ReferencePool
from obliviate.training.recipe import Recipe
from pools import Make


@pytest.fixture(scope="session")
def doomed(
    tiny_recipe: Recipe, make_pool: Make, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, ReferencePool]:
    """A recipe whose training can be killed, and the pool that it makes undisturbed, in this process."""
    folder = tmp_path_factory.mktemp("doomed")
    recipe = replace(tiny_recipe, model=Doomed, model_options={"folder": str(folder)})
    return recipe, make_pool(folder / "pool", recipe=recipe, workers=0)


@pytest.fixture
def killed_in_the_middle(
    doomed: tuple[Recipe, ReferencePool], make_pool: Make, tmp_path: Path
) -> Callable[..., tuple[ReferencePool, list[int]]]:
    """Make that pool by an executor, one process of which is killed; returns it, and whom it was that was killed.

    Checks that no member that was done is made again.
    """
    recipe, _ = doomed
    flags = Path(recipe.model_options["folder"])

    def make(executor: Any, kill: Callable[[int], object], parent: int = 0) -> tuple[ReferencePool, list[int]]:
        for left in flags.glob("victim-*"):
            left.unlink()
        killed: list[int] = []
        done: dict[Path, int] = {}

        def watching(*_: object) -> None:
            for path in tmp_path.glob("*/member-*.json"):
                done.setdefault(path, path.stat().st_mtime_ns)
            if not killed and (victim := victim_of(flags)) is not None:
                killed.append(victim)
                kill(victim)

        arm(flags, parent)
        pool = make_pool(tmp_path, recipe=recipe, executor=executor, progress=watching)
        assert {path: path.stat().st_mtime_ns for path in done} == done
        return pool, killed

    return make
