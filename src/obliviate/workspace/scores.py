"""The scores of an audit, sample by sample: what several audits together need of each."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from obliviate._util.files import read_hashed, write_hashed
from obliviate.audit.result import AuditResult
from obliviate.errors import WorkspaceError
from obliviate.metrics.intervals import ScorePair
from obliviate.types import Ids


@dataclass(frozen=True, eq=False)
class Scores:
    """The leading attack's scores of forget and unseen samples on every model, by the hash of its weights."""

    forget: Ids
    unseen: Ids
    of: dict[str, ScorePair]


def write(
    path: Path,
    result: AuditResult,
    *,
    forget: Shaped[np.ndarray, " f"],
    unseen: Shaped[np.ndarray, " u"],
) -> None:
    """Keep the scores of an audit of these samples in a file."""
    arrays: dict[str, np.ndarray] = {"forget": forget, "unseen": unseen}
    for model in result.models:
        for part, values in zip(("forget", "unseen"), result.scores[model.name], strict=True):
            arrays[f"{part} {model.weights_sha256}"] = values

    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_hashed(path, content.getvalue())


def read(path: Path) -> Scores | None:
    """Read what `write` kept, None where nothing was; raises WorkspaceError for a damaged file."""
    if not path.exists():
        return None
    remedy = "run `obliviate audit` again on its folder"
    content = read_hashed(path, remedy=remedy)
    try:
        arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
        weights = [name.removeprefix("unseen ") for name in arrays if name.startswith("unseen ")]
        of = {digest: (arrays[f"forget {digest}"], arrays[f"unseen {digest}"]) for digest in weights}
        return Scores(arrays["forget"], arrays["unseen"], of)
    except (Exception, MemoryError) as error:  # whatever the modules that unpack and read headers raise
        raise WorkspaceError(
            f"expected the scores of an audit in {path}, got {error}; the file is foreign: {remedy}"
        ) from error
