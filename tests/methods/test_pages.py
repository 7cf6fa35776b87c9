"""The pages of the methods: their examples run as they stand, and their tables say what the code does."""

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import obliviate
from obliviate import methods, workflow
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.references import completion
from obliviate.task import Classification
from obliviate.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "methods").glob("*.md"))
HEADER = "| setting | default | meaning |"
METHODS = [cls for cls in methods.BUILT_IN if dataclasses.fields(cls)]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def rows(page: Path) -> list[tuple[list[str], str]]:
    """The names and the default of every row of a page's table of settings."""
    found = []
    _, _, after = page.read_text(encoding="utf-8").partition(f"{HEADER}\n|---|---|---|\n")
    for line in after.split("\n\n")[0].splitlines():
        names, default, _ = re.split(r"(?<!\\)\|", line.strip("|"), maxsplit=2)
        found.append((re.findall(r"`(\w+)`", names), default.strip()))
    return found


def parsed(text: str) -> Any:
    """A value as it is written in a table: a number, True, None, a word in backticks, or prose."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text.strip("`")


def settings(page: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for names, default in rows(page):
        values = default.split(", ") if len(names) > 1 else [default]
        values = values * len(names) if len(values) == 1 else values
        found |= dict(zip(names, map(parsed, values), strict=True))
    return found


# ------------------------------------------------------------------------------------------- examples


@pytest.fixture(scope="module")
def names(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the examples take as given: an original, its network, another, a split with holdout, task and recipe."""
    assert data.holdout is not None
    batch = data.train.select(data.train.ids[:90]).everything()
    train = Samples.from_tensors(batch.x, batch.y, ids=[f"id{place}" for place in range(90)])
    task = Classification(classes=10)
    recipe = Recipe(model_options={"width": 4, "hidden": 16}, epochs=3, batch_size=16)
    original = workflow.train(Experiment(task, recipe, train))
    return {
        "ob": obliviate,
        "train": train,
        "root": tmp_path_factory.mktemp("checkpoints"),
        "original": original,
        "model": original.model,
        "other_model": workflow.train(Experiment(task, recipe, train, seed=1)).model,
        "split": Split.of(train, forget=train.ids[:6], holdout=data.holdout),
        "task": task,
        "recipe": recipe,
    }


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # What a page leaves to local processes is made in this one: they take seconds to begin.
    monkeypatch.setattr(completion, "_workers", lambda *_: 0)
    mine = dict(names)
    for block in blocks(page):
        exec(compile(block, page.name, "exec"), mine)
    for made in mine.values():
        if isinstance(made, type) and hasattr(made, "needs"):  # a method that the page shows how to write
            assert workflow.unlearn(mine["original"], mine["split"], made()).role == "unlearned"


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda page: page.stem)
def test_every_public_name_that_a_page_uses_exists(page: Path) -> None:
    used = set(re.findall(r"\bob\.([A-Za-z]\w*)", page.read_text(encoding="utf-8")))
    assert used <= set(obliviate.__all__)


# ------------------------------------------------------------------------------------------- tables of settings


@pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.name)
def test_the_table_of_settings_lists_every_field_with_its_default(cls: type[Any]) -> None:
    found = settings(ROOT / "docs" / "methods" / f"{cls.name}.md")
    defaults = {one.name: one.default for one in dataclasses.fields(cls)}
    assert set(found) == set(defaults)
    for name, value in found.items():
        chosen = [case[name] for case in getattr(cls, "when_none", {}).values() if name in case]
        numbers = [one for one in chosen if not isinstance(one, str)]
        if numbers:  # one for each case
            assert [float(one) for one in re.findall(r"[\d.e-]*\d", str(value))] == numbers, name
        elif defaults[name] is None:  # words may say what is chosen then, a number may not
            assert value is None or isinstance(value, str), name
        else:
            assert (type(value) in {int, float}, value) == (type(defaults[name]) in {int, float}, defaults[name]), name
