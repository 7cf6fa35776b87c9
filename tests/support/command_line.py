"""What tests of the command line share: how it is run, what a folder holds, how it is spoilt, and what a refusal is."""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from obliviate.requests import RequestFolder, Requests

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from obliviate.cli import main; main()")
OPTIONS = ("--epochs", "3", "--batch-size", "32")


Cli = Callable[..., tuple[int, str, str]]


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder below, with its content; but for the log, which tells of refusals too."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
        if path.name != "events.jsonl"
    }


def weights(folder: Path) -> dict[str, str]:
    """The hash of every model of a folder, by its file."""
    return {
        path.name: json.loads(path.read_text(encoding="utf-8"))["weights_sha256"]
        for path in folder.rglob("models/*.json")
    }


def first(folder: Path) -> RequestFolder:
    """Where everything of the first request lies."""
    return Requests(folder).at(1)


def altered(mine: Path, path: Path, **changed: np.ndarray) -> Path:
    with np.load(mine) as file:
        np.savez(path, **(dict(file) | changed))  # pyright: ignore[reportArgumentType]
    return path


def refused(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert (code, out) == (1, "")
    message = " ".join(err.split("error: ", 1)[1].split())
    assert message.startswith("expected ")
    assert re.search(r"[,;] got |\. got ", message)
    for word in words:
        assert word in message


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
