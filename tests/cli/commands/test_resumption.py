"""Commands that were interrupted, and folders that were damaged since."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import OPTIONS, Cli, cut, flip, refused, snapshot, weights
from obliviate._util.files import write_sealed_json
from obliviate.requests import Request, Requests


def test_an_interrupted_command_is_resumed_with_the_same_weights(
    cli: Cli, whole: Path, mine: Path, tmp_path: Path, interrupt: Callable[..., list[int]]
) -> None:
    forget = ("unlearn", "fine_tune", "--set", "epochs=3")
    reference = Path(shutil.copytree(whole, tmp_path / "reference"))
    assert cli(*forget, "--out", reference, "--forget", "random:0.1")[0] == 0

    epochs = interrupt(2, 6)
    run = tmp_path / "run"
    train = ("train", "--out", run, "--data", mine, *OPTIONS)
    code, _, err = cli(*train)
    assert code == 130
    assert "run the same command again" in err
    assert not (run / "models" / "original.json").exists()
    assert cli(*train)[0] == 0
    assert epochs == [4]  # the epoch that was finished is not done again
    assert cli(*forget, "--out", run, "--forget", "random:0.1")[0] == 130
    assert cli(*forget, "--out", run)[0] == 0
    assert weights(run) == weights(reference)
    assert not list(run.rglob("work"))


def test_a_damaged_state_starts_over_and_the_command_says_so(
    cli: Cli, whole: Path, mine: Path, tmp_path: Path, interrupt: Callable[..., list[int]]
) -> None:
    interrupt(2)
    train = ("train", "--out", tmp_path / "run", "--data", mine, *OPTIONS)
    assert cli(*train)[0] == 130
    state = tmp_path / "run" / "work" / "original" / "train.pt"
    flip(state)
    code, _, err = cli(*train)
    assert code == 0
    assert f"note: the saved state {state} was damaged; that stage starts over (expected contents with" in err
    assert weights(tmp_path / "run") == weights(whole)


INTERRUPTED = """
import os, signal
from obliviate.cli import main
from obliviate.training.run import Run

fit, epochs = Run.fit, []

def interrupted(self, *arguments, **options):
    epochs.append(1)
    if len(epochs) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return fit(self, *arguments, **options)

Run.fit = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell makes its children ignore it
main()
"""


def test_control_c_stops_a_process_that_then_goes_on_to_the_same_weights(mine: Path, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    train = ["train", "--data", str(mine), "--epochs", "5", "--out"]
    command = [sys.executable, "-c", INTERRUPTED, *train, str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("interrupted; run the same command again to go on where it stopped\n")
    assert "Traceback" not in done.stderr
    assert not (run / "models" / "original.json").exists()
    assert cli(*train, run)[0] == 0
    assert cli(*train, tmp_path / "uninterrupted")[0] == 0
    assert weights(run) == weights(tmp_path / "uninterrupted")


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("models/original.safetensors", cut, ["expected sha256", "damaged"]),
        ("models/original.safetensors", flip, ["expected sha256", "damaged"]),
        ("models/original.safetensors", Path.unlink, ["expected a file at", "none that can be read"]),
        ("models/original.json", cut, ["JSON", "damaged"]),
        ("models/original.json", lambda path: path.write_text("{}"), ["format obliviate.checkpoint/2", "None"]),
        ("models/original.json", lambda path: path.write_text("[]"), ["a JSON object", "list"]),
        (
            "models/original.json",
            lambda path: write_sealed_json(path, {"format": "obliviate.checkpoint/2"}),
            ["the fields of", "foreign"],
        ),
        ("workspace.json", lambda path: path.write_text("{"), ["JSON", "damaged"]),
        ("workspace.json", lambda path: path.write_text("[]"), ["a JSON object", "list"]),
        ("workspace.json", lambda path: path.write_text("{}"), ["workspace"]),
    ],
    ids=["cut", "flipped bit", "no weights", "cut manifest", "empty manifest", "list", "few fields", "a", "b", "c"],
)
def test_a_damaged_or_foreign_file_is_refused(
    cli: Cli, folder: Path, name: str, spoil: Callable[[Path], object], words: list[str]
) -> None:
    Requests(folder).ask(Request(1, "ids", ["image-1"]))
    spoil(folder / name)
    before = snapshot(folder)
    refused(cli("unlearn", "gradient_ascent", "--out", folder), *words)
    assert snapshot(folder) == before
