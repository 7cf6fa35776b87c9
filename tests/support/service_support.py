"""What tests of the service share: a project with requests in every state, its tokens, and a service in a process."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from httpx2 import Client

from obliviate.data.lookup import spelling
from obliviate.ledger import Outcome, Promotion
from obliviate.ledger.names import Sample
from obliviate.project import Project
from obliviate.service.tokens import Tokens

SERVICE = "[service]\nrate = 1000000\nbody = 4096\n"
NAMES = ("ann", "bob", "eve")
"""Owners, whose names no page and no answer may hold."""


def begin(folder: Path, *, more: str = SERVICE) -> Project:
    """Ten training samples, id-1 … id-10, of ann and bob in turn, and a test sample of eve."""
    Project.create(folder, source="rows.npz")
    path = folder / "obliviate.toml"
    text = path.read_text(encoding="utf-8").partition("[service]")[0]
    path.write_text(text + more, encoding="utf-8")
    project = Project.open(folder)
    of = project.pseudonyms.of

    def row(name: str, owner: str, part: str = "train") -> Sample:
        owners = of("owner", owner), of("owner spelled", spelling(owner))
        return Sample(
            of("sample", f"{part} {name}"), of("name", name), of("name spelled", spelling(name)), *owners, part
        )

    rows = [row(f"id-{place}", "ann" if place % 2 else "bob") for place in range(1, 11)]
    project.ledger.index([*rows, row("id-99", "eve", "test")], data_sha256="d")
    return project


def in_all_states(project: Project) -> None:
    """Requests 1 to 4 that are done, failed, running and pending, and a model that serves."""
    ledger = project.ledger
    weights = project.folder / "run" / "original.safetensors"
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"weights")
    ledger.begin_serving(project.promotion("original", weights, "0" * 64, 0), code={})
    for name, outcome in (("id-1", Outcome("done")), ("id-2", Outcome("failed", {"reason": "DataError"}))):
        project.submit([name])
        lease = ledger.claim()
        assert lease is not None
        number = lease.requests[0].number
        promotion = Promotion("1-amun", "run/original.safetensors", ledger.tip().file_sha256, "1" * 64, number)
        ledger.finish(lease, {number: outcome}, promote=promotion if outcome.state == "done" else None)
    project.submit(["id-3"])
    assert ledger.claim() is not None
    project.submit(["bob"], listed="owners")
    project.point()


def make_tokens(project: Project) -> dict[str, str]:
    """The texts of tokens by who has them."""
    tokens = Tokens(project.keys)
    texts = {scope: tokens.create(scope, [scope]) for scope in ("read", "submit", "admin")}
    texts["revoked"] = tokens.create("revoked", ["admin"])
    tokens.revoke("revoked")
    return texts | {"unknown": "obl_" + "0" * 16 + "_" + "A" * 43, "none": ""}


def bearing(text: str) -> dict[str, str]:
    """The header by which a token is sent."""
    return {"authorization": f"Bearer {text}"} if text else {}


@contextmanager
def running(folder: Path, *options: str, output: list[str] | None = None) -> Iterator[Client]:
    """`obliviate serve` in a process of its own, at a port that is free, ended by SIGTERM.

    It is begun as a background shell would; what it wrote in the end is added to `output`.
    """
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "obliviate", "serve", "--project", str(folder), "--port", str(port), *options]
    source = str(Path(__file__).parents[2] / "src")
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    process = subprocess.Popen(background, env=os.environ | {"PYTHONPATH": source}, stderr=subprocess.PIPE, text=True)
    try:
        with Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for _ in range(600):
                assert process.poll() is None, process.stderr and process.stderr.read()
                try:
                    client.get("/health").raise_for_status()
                    break
                except OSError:
                    pass
                except Exception as error:
                    if not re.search("connect", type(error).__name__, re.I):
                        raise
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    if output is not None:
        output.append(errors)
