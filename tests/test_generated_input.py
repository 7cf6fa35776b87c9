"""Thousands of inputs that nobody has thought of: each ends in a result or in one line, in time, nothing half done.

A few hundred run with the other tests. `pytest -m slow tests/test_generated_input.py` runs 10,400.
"""

import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obliviate.cli import main
from obliviate.data.rules import choose
from obliviate.data.sources import Data, load_data
from obliviate.errors import ObliviateError
from obliviate.plans import Plan
from obliviate.plans.ground import Ground
from obliviate.workspace import Workspace

FEW: Final = 60
MANY: Final = 1_300
LONGEST: Final = 60  # seconds

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("unchecked")]

ODD: Final = st.sampled_from(
    [
        *["", " ", "0", "-0", "00", "1.0", "-1", "1e400", "nan", "NaN", "inf", "-inf", "None", "null", "true"],
        *["9" * 30, "9" * 5000, "[" * 2000, "a" * 300, "²", "١٢", "é", "e\u0301", "\ufeff", "\u200b7", "\x00", "\x1f"],
        *[
            "\u202e",
            "😀",
            "'",
            '"',
            '""',
            ";",
            ",",
            "\t",
            "\n",
            "\r",
            "\\",
            "/",
            "..",
            "~",
            "*",
            "%",
            "$(x)",
            "{}",
            "[]",
        ],
        *["[/b]", "-", "--", "01.02.2020", "2020-13-40", "1/2/03", "12:61", "2020-01-01T00:00:00Z", "s00", "s01"],
        *["red", "=1+1", "@x", "x0"],
    ]
)
CELL: Final = ODD | st.text(max_size=12) | st.integers().map(str) | st.floats().map(str)
CSV: Final = "id;name;age;town;label\n" + "".join(
    f"s{i:02d};owner {i // 3};{20 + i};{('Ulm', 'Bonn', 'Köln')[i % 3]};{'yes' if i % 2 else 'no'}\n" for i in range(30)
)
DESCRIPTION: Final = """\
path = "rows.csv"
delimiter = ";"
kind = "classification"
target = "label"
id = "id"
owner = "name"
"""
PLAN: Final = """\
seeds = [0, 1]
references = 4
retrained = 2
[data]
source = "digits"
train_size = 60
[recipe]
epochs = 1
[audit]
margin = 5
[[forget]]
rule = "random:0.1"
draws = 2
[[method]]
name = "fine_tune"
epochs = 1
"""
WORDS: Final = st.sampled_from(
    [
        *["age", "town", "label", "name", "x0", "x9", "nothing", "==", "!=", "<", ">=", "=", "and", "or"],
        *["not", "in", "(", ")", "'Ulm'", '"yes"', "30", "-1.5", "1e9", "'01.02.2020'", "is", "[", "]"],
        *[",", "between", "like", "null"],
    ]
)


# ------------------------------------------------------------------------------------------- what is generated


@st.composite
def spoilt(draw: st.DrawFn, text: str) -> bytes:
    """A text of which some places are replaced, doubled, moved or cut, and sometimes some bytes."""
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cell", "cell", "cell", "drop", "double", "swap", "insert"])):
            case "cell":
                separator = draw(st.sampled_from([";", " = ", '"', " "]))
                cells = lines[place].split(separator)
                cells[draw(st.integers(0, len(cells) - 1))] = draw(CELL)
                lines[place] = separator.join(cells)
            case "drop" if len(lines) > 1:
                del lines[place]
            case "double":
                lines.insert(place, lines[place])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[place], lines[other] = lines[other], lines[place]
            case _:
                lines.insert(place, draw(CELL) + draw(st.sampled_from(["\n", "", "\r\n", ";"])))
    content = "".join(lines)
    if draw(st.booleans()):
        content = content.replace("\n", draw(st.sampled_from(["\r\n", "\r", "\n\n", "\n", "\n"])))
    encoded = content.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])), "replace")
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(encoded)))
        encoded = encoded[:cut] + draw(st.binary(max_size=6)) + encoded[cut + draw(st.integers(0, 9)) :]
    return encoded


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A `.npz` file, mostly of arrays with the right names, of any type and shape; sometimes cut or spoilt."""
    more = ["train_ids", "test_ids", "train_owner", "holdout_x", "holdout_y", "other"]
    names = ["train_x", "train_y", "test_x", "test_y", *draw(st.lists(st.sampled_from(more)))]
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    arrays: dict[str, Any] = {}
    for name in dict.fromkeys(names):
        if draw(st.integers(0, 19)) == 0:
            continue
        n = 40 if name.startswith("train") else 20
        n = draw(st.sampled_from([n] * 12 + [0, 1, n + 1]))
        if name.endswith("_x"):
            kind = draw(st.sampled_from(["float32", "float64", "uint8", "int64", "float16", "bool", "complex64", "U3"]))
            size = (n, *(shape if draw(st.integers(0, 9)) else [2, 2]))
            values = np.random.default_rng(draw(st.integers(0, 99))).random(size) * draw(
                st.sampled_from([1, 1, 255, 1e38])
            )
            if draw(st.integers(0, 9)) == 0 and values.size:
                values.flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
            arrays[name] = values.astype(kind)
        elif name.endswith("_y"):
            kind = draw(st.sampled_from(["int64", "int64", "int64", "uint8", "float32", "U2", "bool", "datetime64[s]"]))
            arrays[name] = (np.arange(n) % draw(st.sampled_from([1, 2, 2, 3, 10**6]))).astype(kind)
            arrays[name] = arrays[name] if draw(st.integers(0, 9)) else arrays[name][:, None]
        else:
            arrays[name] = np.array([draw(CELL) for _ in range(3)] + [str(i) for i in range(max(0, n - 3))])
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    content = stream.getvalue()
    if draw(st.integers(0, 4)) == 0:
        cut = draw(st.integers(0, len(content)))
        content = content[:cut] + draw(st.binary(max_size=8)) + content[cut + draw(st.integers(0, 30)) :]
    return content


TOKENS: Final = CELL | st.sampled_from(
    [
        *["--out", "--json", "--request", "1", "2", "--forget", "random:0.1", "class:yes", "id", "--set"],
        *["epochs=1", "learning_rate=0.1", "epochs=-1", "--after", "--retain", "--no-retain", "--tune"],
        *["--teachers", "4", "--budget", "15%", "--unknown", "skip", "--with-copies", "--seed", "--keep"],
        *["original", "--help", "--trust", "--device", "cpu", "cuda:7", "--precision", "float16"],
        *["--loader-workers", "--evaluation-batch", "--references"],
    ]
)
COMMANDS: Final = (
    ["unlearn", "fine_tune", "--dry-run"], ["unlearn", "--dry-run"], ["status"], ["report"], ["compare"], ["methods"],
    ["attacks"], ["inventory"], ["purge"], ["run", "--dry-run"], ["audit", "--references", "5"], [],
)  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command that works on little or nothing, with some options and values; FOLDER stands for a trained folder."""
    begun = draw(st.sampled_from(COMMANDS))
    tokens = draw(st.lists(TOKENS | st.just("FOLDER"), max_size=6))
    if draw(st.booleans()) and begun:
        tokens = ["--out", "FOLDER", *tokens]
    return [*begun, *tokens]


@st.composite
def training_options(draw: st.DrawFn) -> list[str]:
    """Options of a training, most of them out of range; none asks for more work than a second of it."""
    names = ["--train-size", "--holdout-size", "--learning-rate", "--batch-size", "--shards", "--slices", "--coins"]
    names += ["--noise", "--noise-scale", "--class-weights", "--options", "--optimizer", "--model", "--seed"]
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    values = CELL | st.sampled_from(
        ["1", "2", "5", "30", "0.1", "balanced", "1,2", '{"hidden": [3]}', "sgd", "adam", "mlp"]
    )
    return [token for name in chosen for token in (name, draw(values))]


# ------------------------------------------------------------------------------------------- what must hold


@dataclass(frozen=True)
class Place:
    """What the checks share: a folder with a trained model, rows, and the data of these."""

    trained: Path
    rows: Path
    data: Data


def refused(work: Callable[[], object]) -> str:
    """Do it, and return why it was refused in our own words, "" if it was not; anything else is raised."""
    words = ""
    try:
        work()
    except ObliviateError as error:
        words = str(error)
    assert not words or "expected" in words, f"not our words: {words}"
    return words


def check_table(place: Place, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rows.csv").write_bytes(content)
        (Path(folder) / "data.toml").write_text(DESCRIPTION, encoding="utf-8")
        refused(lambda: load_data(folder))


def check_description(place: Place, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rows.csv").write_text(CSV, encoding="utf-8")
        (Path(folder) / "data.toml").write_bytes(content)
        refused(lambda: load_data(folder))


def check_archive(place: Place, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        path.write_bytes(content)
        refused(lambda: load_data(path))


def check_list(place: Place, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids.csv"
        path.write_bytes(content)
        for unknown in ("refuse", "skip"):
            among = place.data.among(unknown=unknown)
            for text in (f"@{path}", f"owner:@{path}", f"@{path}:id"):
                refused(lambda text=text, among=among: choose(text, among))


def check_condition(place: Place, text: str) -> None:
    for rule in (f"where:{text}", text, f"class:{text}", f"owner:{text}", f"random:{text}"):
        refused(lambda rule=rule: choose(rule, place.data.among()))


def check_plan(place: Place, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.toml"
        path.write_bytes(content)

        def read() -> None:
            plan = Plan.read(path)
            if plan.source == "digits" and plan.train_size in range(1, 200) and plan.runs < 100:
                Ground.of(plan)

        refused(read)


def check_command(place: Place, tokens: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        run = Path(shutil.copytree(place.trained, Path(folder) / "run"))
        before = _files(run)
        code, _, err = command([token.replace("FOLDER", str(run)) for token in tokens])
        if code:
            assert before == _files(run), "a command that failed has changed the folder"
            assert err.strip(), "a command that failed has said nothing"
        else:
            assert not err.startswith("error:"), "a command that succeeded tells of an error"


def check_training(place: Place, options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        out = Path(folder) / "run"
        arguments = ["train", "--out", str(out), "--data", str(place.rows), "--epochs", "1", *options]
        code, _, err = command(arguments)
        if code:
            assert not (out / "models").exists(), "a training that failed has left a model"
            assert not list(out.rglob("*.safetensors")) if out.exists() else True
            assert err.strip()
        else:
            assert Workspace.open(out).train().role == "original"


def _files(folder: Path) -> dict[str, bytes]:
    """Every file but the log of what was refused, and the note of who works there."""
    ignored = {"events.jsonl", "lock"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ignored
    }


def command(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process; an exception that it lets through is a traceback for a user."""
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    assert "Traceback" not in err.getvalue()
    return code, out.getvalue(), err.getvalue()


KINDS: Final[dict[str, tuple[st.SearchStrategy[Any], Callable[[Place, Any], None]]]] = {
    "tables": (spoilt(CSV), check_table),
    "descriptions": (spoilt(DESCRIPTION), check_description),
    "archives": (archives(), check_archive),
    "lists": (spoilt("id\n" + "".join(f"s{i:02d}\n" for i in range(6))), check_list),
    "conditions": (st.lists(WORDS | CELL, max_size=8).map(" ".join), check_condition),
    "plans": (spoilt(PLAN), check_plan),
    "commands": (command_lines(), check_command),
    "trainings": (training_options(), check_training),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("generated")
    rows = root / "rows"
    rows.mkdir()
    (rows / "rows.csv").write_text(CSV, encoding="utf-8")
    (rows / "data.toml").write_text(DESCRIPTION, encoding="utf-8")
    trained = root / "run"
    code, _, err = command(["train", "--out", str(trained), "--data", str(rows), "--epochs", "1"])
    assert code == 0, err
    data = load_data(rows)
    ids = data.train.ids.tolist()
    code, _, err = command(["unlearn", "fine_tune", "--out", str(trained), "--forget", ",".join(ids[:4])])
    assert code == 0, err
    return Place(trained, rows, data)


def hold(kind: str, place: Place, count: int) -> None:
    """Hold what must hold against so many generated inputs of a kind."""
    strategy, check = KINDS[kind]

    @settings(
        max_examples=count,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(strategy)
    def holds(case: Any) -> None:
        began = time.monotonic()
        check(place, case)
        assert time.monotonic() - began < LONGEST, f"longer than a minute: {json.dumps(case, default=repr)[:300]}"

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_generated_inputs_end_in_a_result_or_in_one_line(kind: str, place: Place) -> None:
    hold(kind, place, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_generated_inputs_end_in_a_result_or_in_one_line(kind: str, place: Place) -> None:
    hold(kind, place, MANY)
