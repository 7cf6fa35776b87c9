"""Models without torch: a text in place of weights."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from obliviate._util.files import sha256_of, write_atomically, write_sealed_json
from obliviate.data.ids import ids_sha256
from obliviate.requests import Manifest, Requests, Slot

Keep = Callable[..., str]


@pytest.fixture
def keep() -> Keep:
    """Make a model of this text, or read it back; on the way something is kept in its work folder."""

    def keep(requests: Requests, slot: Slot, text: str = "weights") -> str:
        asked = [] if slot.request is None else requests.numbered(slot.request).ids

        def make(work: Path) -> str:
            work.mkdir(parents=True, exist_ok=True)
            (work / "state").write_text("half done", encoding="utf-8")
            return text

        def save(model: str, number: int) -> None:
            slot.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(slot.path, lambda temporary: temporary.write_text(model, encoding="utf-8"))
            name = slot.id.rpartition("-")[0].partition("-")[2] or "original"
            manifest = Manifest(
                role="original" if slot.request is None else "unlearned",
                method="Method()",
                seed=0,
                recipe={},
                data_sha256="",
                ids=["a", "b", "c", "d"] if slot.request is None else [],
                settings={"name": name, "forget_sha256": ids_sha256(asked)},
                seconds=1.5,
                weights_sha256=hashlib.sha256(model.encode()).hexdigest(),
                file_sha256=sha256_of(slot.path),
                number=number,
            )
            write_sealed_json(slot.manifest, asdict(manifest))

        return requests.once(slot, make, save=save, read=lambda: slot.path.read_text(encoding="utf-8"))

    return keep
