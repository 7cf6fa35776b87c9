"""What the pages show runs: every block of Python and every command, at the size of a test, in a page's order.

A block that is not run here says why, in words that its readers see: `*Not run by the tests: …*` before it. What a page
takes as given, an original or a folder in which it was trained, `given` and `Console` have.
"""

import contextlib
import doctest
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import obliviate
from command_line import Cli
from obliviate import workflow
from obliviate.cli import main
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods.retrain import Retrain
from obliviate.references import completion
from obliviate.report import html
from obliviate.task import Classification
from obliviate.testing.bench import halved
from obliviate.training.recipe import Recipe
from pages import PAGES, ROOT, Block, Command, blocks, commands, is_of_an_example, small

ELSEWHERE = {
    "README.md": "test_readme.py",  # on a project of the reader's
    "docs/tutorials/write-your-own-method.md": "test_plugin.py",  # with the package installed
    "docs/tutorials/serve-an-erasure-request.md": "cli/test_erasure_page.py",  # with files that it shows
    "docs/huggingface.md": "test_huggingface_page.py",  # without the warnings of other packages
    "docs/pandas.md": "test_pandas_page.py",
    "docs/notebooks.md": "test_notebooks_page.py",
}
"""Pages whose code is run by tests of their own."""

SLOW = {
    "docs/howto/choose-a-method.md",
    "docs/howto/tell-a-regulator.md",
    "docs/methods/sisa.md",
    "docs/sequences.md",
}
"""Pages that take more than five seconds of a processor, which `make test-slow` runs."""


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def runnable(page: Path) -> list[Block]:
    if name(page) in ELSEWHERE:
        return []
    return [block for block in blocks(page) if not block.reason and not is_of_an_example(block)]


# ------------------------------------------------------------------------------------------- what a page takes as given


@pytest.fixture(scope="session")
def given(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that pages use without saying where they come from; one original serves all pages."""
    assert data.holdout is not None
    batch = data.train.select(data.train.ids[:90]).everything()
    train = Samples.from_tensors(batch.x, batch.y, ids=[f"id{place}" for place in range(90)])
    test, unseen = data.test.select(data.test.ids[:60]), data.holdout.select(data.holdout.ids[:60])
    task = Classification(classes=10)
    recipe = Recipe(model_options={"width": 4, "hidden": 16}, epochs=3, batch_size=16)
    experiment = Experiment(task, recipe, train, test)
    original = workflow.train(experiment)
    split = Split.of(train, forget=train.ids[:6], holdout=unseen)
    pool = workflow.train_references(
        experiment, folder=tmp_path_factory.mktemp("pages") / "references", models=4, workers=0
    )
    return {
        "ob": obliviate,
        "np": np,
        "Path": Path,
        "train": train,
        "test": test,
        "unseen": unseen,
        "ids": train.ids[:6],
        "places": np.arange(5),
        "root": tmp_path_factory.mktemp("checkpoints"),
        "original": original,
        "model": original.model,
        "other_model": workflow.train(Experiment(task, recipe, train, seed=1)).model,
        "retrained": [workflow.unlearn(original, split, Retrain(), seed=seed) for seed in (1, 2)],
        "split": split,
        "task": task,
        "recipe": recipe,
        "experiment": experiment,
        "pool": pool,
    }


class Console:
    """A folder in which the commands of a page are typed; what several pages begin with is done once.

    `cache` keeps every folder as each command left it, by the commands that it has seen.
    """

    def __init__(self, here: Path, cli: Cli, cache: Path, data: Path) -> None:
        self.here, self.cli, self.cache, self.data = here, cli, cache, data
        self.history: dict[str, tuple[str, ...]] = {}
        rows = ["name,email", "Ann,w1", "Bob,w2", "Bob,w2", "Eve,nobody@example.org"]
        (here / "requests.csv").write_text("\n".join(rows), encoding="utf-8")

    def run(self, command: Command) -> None:
        tool, *words = command.words
        match tool:
            case "obliviate":
                self.obliviate(words, command)
            case "make":
                targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
                assert set(words) <= set(targets), command.text
            case "open":
                assert all((self.here / word).exists() for word in words), command.text
            case "python" if words[0].startswith("examples/"):  # which tests/test_examples.py runs
                assert (ROOT / words[0]).is_file(), command.text
            case _:
                pytest.fail(f"expected a command that the tests can run, got `{command.text}`; say why it is not")

    def obliviate(self, words: list[str], command: Command) -> None:
        folder = words[words.index("--out") + 1] if "--out" in words else ""
        if folder and words[0] != "train" and not (self.here / folder).exists():
            self.obliviate(["train", "--out", folder], Command("", ""))  # what the page takes as given
        words = [self.ids(folder) if word == "id,id" else word for word in words]
        history = (*self.history.get(folder, ()), " ".join(words))
        known = self.cache / hashlib.sha256("\n".join(history).encode()).hexdigest()
        if known.exists():
            shutil.copytree(known, self.here / folder, dirs_exist_ok=True)
        else:
            code, _, err = self.cli(*small(words, self.data))
            assert code == (1 if command.error else 0), f"{command.text}\n{err}"
            assert command.error in " ".join(err.split())
        if folder and not command.error and "--dry-run" not in words:
            self.history[folder] = history
            if not known.exists():
                shutil.copytree(self.here / folder, known)

    def ids(self, folder: str) -> str:
        """What stands for `id,id`: a dozen samples that no request of the folder has asked for yet."""
        requests = (self.here / folder).glob("requests/*/request.json")
        asked = {name for path in requests for name in json.loads(path.read_text(encoding="utf-8"))["ids"]}
        return ",".join([name for name in (f"image-{place}" for place in range(300)) if name not in asked][:12])


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folders")


@pytest.fixture(scope="session")
def mine(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's file: 300 training images of 20 owners, 40 holdout and 100 test images, of half the shipped size."""
    assert data.holdout is not None
    arrays: dict[str, Any] = {
        "train_ids": np.array([f"image-{place}" for place in range(300)]),
        "train_owner": np.array([f"w{place % 20}" for place in range(300)]),
    }
    for part, samples, count in (("train", data.train, 300), ("holdout", data.holdout, 40), ("test", data.test, 100)):
        batch = halved(samples.select(samples.ids[:count])).everything()
        arrays |= {f"{part}_x": (255 * batch.x[:, 0]).round().byte().numpy(), f"{part}_y": batch.y.numpy()}
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def console(
    tmp_path: Path,
    cache: Path,
    mine: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Console:
    # Processes would each import torch, an engine starts one a core, and pages of audits are drawn in tests/report.
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(completion, "_workers", lambda job, asked, executor: 0)
    monkeypatch.setattr(html, "render", lambda results: f"<!doctype html><title>{results.data.name}</title>")

    def cli(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        written = capsys.readouterr()
        return code, written.out, written.err

    return Console(tmp_path, cli, cache, mine)


# ------------------------------------------------------------------------------------------- tests


@pytest.mark.filterwarnings("default::UserWarning")  # a page may show what is warned of
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (name(page) in SLOW), id=name(page))
        for page in PAGES
        if runnable(page)
    ],
)
def test_the_code_of_a_page_runs(
    page: Path, given: dict[str, Any], console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = dict(given)
    for block in runnable(page):
        if block.language == "console":
            for command in commands(block):
                console.run(command)
        elif ">>> " in block.code:
            check_printed(block, names)
        else:
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
    for value in names.values():  # a method that the page shows how to write
        if isinstance(value, type) and hasattr(value, "exact") and value.__module__ == "builtins":
            assert workflow.unlearn(given["original"], given["split"], value()).role == "unlearned"


def check_printed(block: Block, names: dict[str, Any]) -> None:
    """Run a block with prompts, and compare what it prints with what the page shows."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(block.code, names, str(block), name(block.page), block.line)
    out = io.StringIO()
    assert doctest.DocTestRunner(optionflags=flags).run(test, out=out.write, clear_globs=False).failed == 0, (
        out.getvalue()
    )
    names.update(test.globs)


def test_pages_that_are_slow_or_run_elsewhere_are_there() -> None:
    assert {*SLOW, *ELSEWHERE} <= {name(page) for page in PAGES}
    for page, tests in ELSEWHERE.items():
        assert Path(page).name in (ROOT / "tests" / tests).read_text(encoding="utf-8"), page


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page) if block.language == "console"], ids=str
)
def test_every_command_has_the_options_that_a_page_gives_it(block: Block) -> None:
    """Also of the blocks that are not run."""
    for command in commands(block):
        for text in re.findall(r"(?:^|[;\n] *)(obliviate [^;#\n]*)", command.text):
            parse(Command(text.replace("$seed", "0"), "").words[1:])


def parse(words: list[str]) -> None:
    from obliviate.cli import app

    with contextlib.redirect_stderr(io.StringIO()):
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_a_command_with_an_option_that_there_is_not_is_told() -> None:
    """The test above is one that can fail."""
    from cyclopts import CycloptsError

    with pytest.raises(CycloptsError):
        parse(["train", "--out", "run", "--no-such-option"])


def test_blocks_and_reasons_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n1\n```\n\n*Not run by the tests: it is long.*\n\n```console\n$ a \\\n    b\nout\n$ c\n```\n",
        encoding="utf-8",
    )
    first, second = blocks(page)
    assert (first.language, first.code, first.reason) == ("python", "1\n", "")
    assert second.reason == "it is long"
    assert list(commands(second)) == [Command("a b", "out"), Command("c", "")]


def test_the_tables_of_margins_are_those_of_the_formulas() -> None:
    path = ROOT / "scripts" / "make_margins.py"
    spec = importlib.util.spec_from_file_location("make_margins", path)
    assert spec is not None
    assert spec.loader is not None
    make_margins = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_margins)
    text = make_margins.PAGE.read_text(encoding="utf-8")
    assert make_margins.page(text) == text, "run `python scripts/make_margins.py`"
