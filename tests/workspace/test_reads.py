"""Weights are read at most once a command."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from obliviate.data.samples import Samples
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.references import member
from obliviate.training import checkpoint
from obliviate.training.recipe import Recipe
from obliviate.workspace import NewRequest, Workspace
from user_files import write_rows


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file of a model's weights was read."""
    counts: Counter[Path] = Counter()

    def counted(path: Path, *rest: Any) -> Any:
        counts[Path(path)] += 1
        return load(path, *rest)

    load = checkpoint.load
    monkeypatch.setattr(checkpoint, "load", counted)
    return counts


@pytest.fixture
def reference_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file of a reference's weights was read."""
    counts: Counter[Path] = Counter()

    def counted(path: Path) -> Any:
        counts[path] += 1
        return load_file(path)

    load_file = member.load_file
    monkeypatch.setattr(member, "load_file", counted)
    return counts


@pytest.fixture
def work(tmp_path: Path, tiny: Samples, tiny_recipe: Recipe) -> Workspace:
    path = write_rows(tmp_path / "rows.npz", tiny)
    work = Workspace.create(tmp_path / "run", source=str(path), recipe=tiny_recipe, seed=0)
    work.train()
    return work


def test_no_command_reads_the_weights_of_a_model_twice(work: Workspace, reads: Counter[Path]) -> None:
    first = work.unlearn(FineTune(epochs=1), request=NewRequest(forget="random:0.2"))
    work.retrained(2)
    commands = {
        "unlearn": lambda: work.unlearn(FineTune(epochs=2)),
        "go on": lambda: work.unlearn(FineTune(epochs=1), request=NewRequest(forget="random:0.1", after=first.id)),
        "audit": lambda: work.audit(references=6, retrained=2, request=1, workers=0),
        "inspect": lambda: work.inspect(retrained=2, request=1, epochs=1),
    }
    for name, command in commands.items():
        reads.clear()
        command()
        assert reads, name
        assert max(reads.values()) == 1, (name, reads)


def test_an_audit_with_shadows_of_several_models_reads_every_reference_once(
    work: Workspace, reference_reads: Counter[Path]
) -> None:
    work.unlearn(FineTune(epochs=1), request=NewRequest(forget="random:0.2"))
    work.unlearn(GradientAscent(epochs=1))
    work.unlearn(FineTune(epochs=1), seed=1)
    references = 6
    results = work.audit(references=references, retrained=2, shadows=True, workers=0)
    assert sum("ulira" in model.attacks for model in results.models) == 3
    assert list(reference_reads.values()) == [1] * references
