"""What an oracle holds, as one file: the original's weights, the outputs of all others, and what they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from obliviate.errors import AuditError, CheckpointError
from obliviate.training.tensors import load_tensors, save_tensors

FORMAT: Final = "obliviate.oracle/1"
REMEDY: Final = "get the file again, or build it by `obliviate oracle`"
WEIGHTS: Final = "original."
PARTS: Final = ("references", "retrained", "included", "answers")


@dataclass(frozen=True, eq=False, kw_only=True)
class Archive:
    """Facts in JSON values, weights, and outputs of models as float32, or float16 to halve the file.

    Outputs stand in the order of the sorted ids of the samples that are audited; `included` tells which of them each
    reference was trained on, and `answers` are the original's on some of them, by which it is known again.

    >>> import tempfile
    >>> outputs, included = np.zeros((4, 6, 2), np.float16), np.eye(4, 6, dtype=bool)
    >>> archive = Archive(
    ...     facts={"seed": 0}, weights={"a": torch.ones(2)}, references=outputs, included=included,
    ...     retrained=outputs[:2], answers=outputs[0, :3],
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     archive.write(Path(folder) / "a.safetensors")
    ...     again = Archive.read(Path(folder) / "a.safetensors")
    >>> dict(again.facts), int(again.included.sum()), again.references.dtype.name
    ({'seed': 0}, 4, 'float16')
    """

    facts: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    references: Float[np.ndarray, "models n k"]
    included: Bool[np.ndarray, "models n"]
    retrained: Float[np.ndarray, "retrained n k"]
    answers: Float[np.ndarray, "asked k"]

    def write(self, path: Path) -> None:
        """Write all of it with its hash, in one step; raises AuditError for outputs that are not finite in float16."""
        for name in ("references", "retrained", "answers"):
            if not np.isfinite(getattr(self, name)).all():
                raise AuditError(
                    f"expected outputs within ±65,504 for half the size, got greater ones of the {name}; build it "
                    "without --half"
                )
        packed = {name: torch.from_numpy(np.ascontiguousarray(getattr(self, name))) for name in PARTS}
        packed["included"] = torch.from_numpy(np.packbits(self.included, axis=1))
        weights = {f"{WEIGHTS}{name}": value for name, value in self.weights.items()}
        text = json.dumps(dict(self.facts), sort_keys=True, allow_nan=False)
        save_tensors(path, {**packed, **weights}, {"format": FORMAT, "facts": text})

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Read what `write` wrote; raises AuditError for a file that is missing, foreign, or changed in any bit."""
        try:
            tensors, head = load_tensors(path)
        except CheckpointError as error:
            raise AuditError(f"{error}: {REMEDY}") from error
        if head.get("format") != FORMAT or not set(PARTS) <= set(tensors):
            raise AuditError(
                f"expected format {FORMAT}, got {head.get('format')!r:.60} in {path}; another version or program wrote "
                f"it: {REMEDY}"
            )
        references = tensors["references"].numpy()
        included = np.unpackbits(tensors["included"].numpy(), axis=1, count=references.shape[1]).astype(bool)
        return cls(
            facts=json.loads(head["facts"]),
            weights={name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)},
            references=references,
            included=included,
            retrained=tensors["retrained"].numpy(),
            answers=tensors["answers"].numpy(),
        )
