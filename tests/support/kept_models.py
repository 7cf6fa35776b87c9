"""Models of a folder as far as their manifests say, where nobody reads the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from obliviate._util.files import write_sealed_json
from obliviate.requests import Requests
from obliviate.requests.manifest import FORMAT


def keep(
    folder: Path, name: str, request: int | None, *, seconds: float, ids: Sequence[str], recipe: Any, **values: Any
) -> str:
    """Put a model that was trained on these samples into a folder, and return its id."""
    slot = Requests(folder).slot(name, request)
    slot.path.parent.mkdir(parents=True, exist_ok=True)
    slot.path.write_bytes(b"weights")
    method = {} if request is None else {"method": {"name": name.partition("-")[0], "settings": {}}}
    manifest = {
        "role": "original" if request is None else "unlearned",
        "method": name,
        "seed": 0,
        "recipe": recipe,
        "data_sha256": "d",
        "ids": list(ids),
        "settings": method,
        "seconds": seconds,
        "weights_sha256": f"{name}{request}",
        "file_sha256": "f",
        "number": 1,
        "format": FORMAT,
    }
    write_sealed_json(slot.manifest, manifest | values)
    return slot.id
