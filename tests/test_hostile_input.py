"""What is damaged, huge, foreign or in the way ends in one line: no traceback, no work, nothing half-written."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from obliviate._util import files
from obliviate._util.files import read_sealed_json, write_atomically, write_json, write_sealed_json
from obliviate.cli import main
from obliviate.cli.printing.unlearning import print_asked
from obliviate.data.samples import Samples
from obliviate.data.sources import load_data
from obliviate.errors import DataError, RecipeError, WorkspaceError
from obliviate.references.pool import train_pool
from obliviate.requests import Requests
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workspace import Workspace

Cli = Callable[..., tuple[int, str, str]]
SHELL = f"{sys.executable} -c 'from obliviate.cli import main; main()'"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process; return its exit code, and what it wrote to stdout and to stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, written.out, " ".join(written.err.replace("│", " ").split())

    return run


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 training and 40 test rows of 6 numbers; ids are numbers from 0, and the ten owners look like markup."""
    x = np.random.default_rng(0).random((120, 6)).astype(np.float32)
    y = (x.sum(1) > 3).astype(np.int64)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    names = np.array([f"[/b]{place // 8}" for place in range(80)])
    ids = np.arange(120).astype(np.str_)
    train = {"train_x": x[:80], "train_y": y[:80], "train_ids": ids[:80], "train_owner": names}
    np.savez(path, **train, test_x=x[80:], test_y=y[80:], test_ids=ids[80:])  # pyright: ignore[reportArgumentType]
    return path


@pytest.fixture(scope="module")
def trained(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--out", str(folder), "--data", str(rows), "--epochs", "1"])
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning-rate", "inf"], "learning_rate of at most"),
        (["--learning-rate", "1e308"], "learning_rate of at most"),
        (["--epochs", "1000000000000"], "epochs of at most"),
        (["--epochs", "9" * 25], "a number of at most"),
        (["--shards", "99999999999"], "shards of at most"),
        (["--slices", "99999999999"], "slices of at most"),
        (["--batch-size", "9" * 25], "a number of at most"),
        (["--seed", "9" * 25], "a number of at most"),
        (["--train-size", "1.5"], "a whole number, got '1.5'"),
        (["--holdout-size", "2.0"], "a whole number, got '2.0'"),
        (["--options", '{"hidden": [-1]}'], "mlp to build a model of"),
        (["--options", "[" * 5000], "a JSON object such as"),
        (["--model", "sys:exit"], "sys:exit to build a model of"),
        (["--model", "os:getcwd"], "a function that returns an nn.Module, got str"),
        (["--class-weights", "9" * 400 + ",1"], "class weights above 0"),
    ],
)
def test_an_option_out_of_all_bounds_is_refused_before_anything_is_made(
    cli: Cli, rows: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    code, out, err = cli("train", "--out", tmp_path / "run", "--data", rows, *options)
    assert code in {1, 2}
    assert out == ""
    assert words in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--set", "epochs=" + "[" * 3000],
        ["--set", "epochs=" + "9" * 25],
        ["--set", "epochs=" + "9" * 5000],
        ["--set", "learning_rate=Infinity"],
        ["--set", "learning_rate=NaN"],
        ["--tune", "999999999"],
        ["--teachers", "99999999999"],
        ["--unknown", "drop"],
        ["--forget", "where:owner == " + "9" * 400],
        ["--forget", "class:" + "9" * 5000],
        ["--forget", "@" + "x" * 300],
        ["--forget", "memorised:²"],
    ],
)
def test_settings_and_requests_out_of_all_bounds_are_refused(cli: Cli, folder: Path, options: list[str]) -> None:
    forget = [] if "--forget" in options else ["--forget", "random:0.1"]
    method = "never_seen" if "--teachers" in options else "fine_tune"
    code, out, err = cli("unlearn", method, "--out", folder, *forget, *options)
    assert (code in {1, 2}, out) == (True, "")
    assert "rror" in err
    assert not (folder / "requests").exists()


@pytest.mark.usefixtures("unchecked")
def test_a_recipe_of_other_types_is_refused() -> None:
    for values in ({"momentum": "x"}, {"epochs": 1.5}, {"epochs": True}, {"learning_rate": "0.1"}, {"momentum": 2.0}):
        with pytest.raises(RecipeError, match=r"^expected .*, got .*; change the recipe$"):
            Recipe.from_dict({"model": "mlp", **values})


# ------------------------------------------------------------------------------------------- code of others


def test_code_that_a_folder_names_is_not_run_unless_it_is_trusted(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "workspace.json"
    facts = read_sealed_json(path)
    spoilt = facts["recipe"] | {"model": "os:mkdir", "model_options": {"path": str(folder / "run by it")}}
    write_sealed_json(path, facts | {"recipe": spoilt})
    for command in (["unlearn", "fine_tune", "--forget", "random:0.1"], ["audit"], ["inspect"], ["references"]):
        code, _, err = cli(*command, "--out", folder)
        assert code == 1
        assert "got 'os:mkdir', which" in err
    monkeypatch.setenv("OBLIVIATE_TRUST", "my_models:build")
    with pytest.raises(WorkspaceError, match="going on runs that code"):
        Workspace.open(folder)
    assert not (folder / "run by it").exists()
    monkeypatch.setenv("OBLIVIATE_TRUST", "my_models:build,os:mkdir")
    with pytest.raises(RecipeError, match=r"returns an nn.Module, got NoneType from os:mkdir"):
        Workspace.open(folder)
    assert (folder / "run by it").exists()


def test_workers_do_not_import_from_the_folder_that_they_are_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("random", "random_", "secrets"):
        (tmp_path / f"{name}.py").write_text(
            "from pathlib import Path\nPath('imported').touch()\nraise SystemExit(3)\n"
        )
    train_pool(tiny_recipe, tiny, three_classes, folder=tmp_path / "pool", models=4, workers=1)
    assert not (tmp_path / "imported").exists()


# ------------------------------------------------------------------------------------------- files


def archive(path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression=compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def header(shape: tuple[int, ...], *, dtype: str = "<f8") -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"shape": shape, "fortran_order": False, "descr": dtype})
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        header((10**12,)),
        header((10**6, 10**6, 10**6)),
        header((3,)) + b"\0" * 8,
        header((2,)).replace(b"(2,)", b"(2,\x00"),
        header((2,)).replace(b"'shape'", b"'sha\"e("),
        b"\x93NUMPY\x09\x00v\0",
        b"",
        b"not an array",
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
def test_an_archive_that_is_damaged_or_larger_than_it_says_is_refused(
    tmp_path: Path, content: bytes, compression: int
) -> None:
    path = archive(tmp_path / "bomb.npz", {"train_x": content}, compression=compression)
    with pytest.raises(DataError, match=r"^expected bomb.npz to be a .npz file of plain arrays, got .*; the file is"):
        load_data(path)


def test_every_flipped_byte_of_a_packed_archive_is_refused_or_harmless(rows: Path, tmp_path: Path) -> None:
    with np.load(rows) as arrays:
        members = {name: _bytes(arrays[name]) for name in arrays}
    content = archive(tmp_path / "small.npz", members, compression=zipfile.ZIP_LZMA)
    whole = content.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        content.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            load_data(content)
        except DataError as error:
            assert str(error).startswith("expected ")  # noqa: PT017


def _bytes(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_a_packed_text_that_is_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr("obliviate.data.formats.delimited.memory", lambda: 8 * 10**5)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"0,1\n" * 10**6))
    (tmp_path / "data.toml").write_text('path = "t.csv.gz"\ntarget = "1"\n')
    with pytest.raises(DataError, match=r"^expected a text of at most 100,000 bytes, got more in "):
        load_data(tmp_path)


@pytest.mark.parametrize("text", ["a = " + "[" * 3000, 'path = "a\\u0000b"', "path = " + "9" * 5000, "\0"])
def test_a_description_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.toml").write_text(text)
    with pytest.raises(DataError, match=r"^expected .*, got .*"):
        load_data(tmp_path)


def test_contents_are_on_the_disk_before_they_have_their_name_and_so_is_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def flushed(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(f"{'folder' if place.is_dir() else 'contents'} {(tmp_path / 'a.json').exists()}")

    monkeypatch.setattr(files.os, "fsync", flushed)
    write_json(tmp_path / "a.json", {"a": 1})
    assert done == ["contents False", "folder True"]


def test_a_file_that_cannot_be_written_is_is_known_of_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(WorkspaceError, match=r"^expected to write .*a.json, got Is a directory; choose another "):
        write_json(tmp_path / "a.json", {})
    with pytest.raises(
        WorkspaceError, match=r"^expected to write .*a.json, got No such file .*; make its folder, and "
    ):
        write_json(tmp_path / "nowhere" / "a.json", {})

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(WorkspaceError, match=r"^expected to write .*b.json, got No space left on device; make room"):
        write_atomically(tmp_path / "b.json", full)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


# ------------------------------------------------------------------------------------------- output


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"{SHELL} attacks --json | true; exit ${{PIPESTATUS[0]}}", {0, 141}),
        (f"{SHELL} attacks --json > /dev/full", {1}),
        (f"PYTHONIOENCODING=ascii {SHELL} methods", {0}),
        (f"{SHELL} attacks --json >&-", {0, 1}),
    ],
)
def test_an_output_that_is_closed_full_or_of_few_letters_ends_without_a_traceback(command: str, code: set[int]) -> None:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode in code


def test_what_users_call_things_is_not_read_as_markup(cli: Cli, folder: Path) -> None:
    code, out, _ = cli("unlearn", "fine_tune", "--out", folder, "--forget", "owner:[/b]3", "--dry-run")
    assert code == 0
    assert "[/b]3" in out
    code, _, err = cli("unlearn", "fine_tune", "--out", folder, "--forget", "owner:[/b]3", "--set", "epochs=1")
    assert code == 0, err
    assert "(owner [/b]3)" in cli("status", "--out", folder)[1]
    print_asked([{"asked": "[/b]", "found": "", "status": "unknown"}])


# ------------------------------------------------------------------------------------------- requests as they arrive


def test_what_became_of_every_name_is_kept_with_the_request(cli: Cli, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_bytes('\ufeffid;note\r\n 07;x\r\n"8.0";y\r\n8;again\r\n99;test\r\nabc;?\r\n'.encode())
    asked = ("unlearn", "fine_tune", "--out", folder, "--set", "epochs=1", "--forget", f"@{path}")
    code, _, err = cli(*asked)
    assert code == 1
    assert "got 2 of 4 that are none: 1 of the test set, never trained on ('99'); 1 not known ('abc')" in err
    assert not (folder / "requests").exists()
    code, out, _ = cli(*asked, "--unknown", "skip", "--dry-run")
    assert (code, "Would forget 2 of 80 training samples (ids from ids.csv)" in out) == (0, True)
    code, out, _ = cli(*asked, "--unknown", "skip", "--json")
    assert (code, json.loads(out)["asked"]) == (0, {"found": 2, "duplicate": 1, "test": 1, "unknown": 1})
    request = Requests(folder).numbered(1)
    assert list(request.ids) == ["7", "8"]
    assert [(entry["asked"], entry["found"], entry["status"]) for entry in request.asked] == [
        ("07", "7", "found"),
        ("8.0", "8", "found"),
        ("8", "8", "duplicate"),
        ("99", "99", "test"),
        ("abc", "", "unknown"),
    ]
    assert json.loads(cli("status", "--out", folder, "--json")[1])["requests"][0]["asked"]["found"] == 2
