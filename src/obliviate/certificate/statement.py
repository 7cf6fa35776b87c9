"""What a certificate says: an in-toto Statement on the weights of a model.

The format: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://github.com/obliviate/obliviate/docs/certificate.md/v1"


@dataclass(frozen=True)
class Asked:
    """The request: its number, how it was put, keyed hashes of samples and owners, and how many names came to what."""

    number: int
    kind: str
    submitted: str
    samples: Sequence[str]
    owners: Sequence[str]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class State:
    """Hashes of weights, data and code at one time; of the data, a keyed hash of the ids that are trained on, too."""

    weights_sha256: str
    data_sha256: str
    trained_on: int
    trained_on_keyed: str
    code: Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """A figure in its unit, with its interval; of a p-value, which has none, both ends are None."""

    name: str
    value: float
    low: float | None
    high: float | None
    unit: str = "percent"


@dataclass(frozen=True)
class Judgement:
    """The verdict of the audit, why, at which margin and resolution (points of AUC), figures, and limits in words.

    Of one record there are p-values, and no margin and resolution; of an outcome that was not audited no figures
    either.
    """

    verdict: str
    reason: str
    exact: bool
    margin: float | None
    resolution: float | None
    figures: Sequence[Figure]
    limits: Sequence[str]
    results_sha256: str | None


@dataclass(frozen=True)
class Position:
    """Where the ledger stood: the number and the hash of its last entry."""

    event: int
    sha256: str
    time: str


@dataclass(frozen=True)
class Statement:
    """All that a certificate says. `file` and its hash are those of the weights that are served from then on.

    `tried` are the methods whose outcomes were not good enough, with the verdict on each.
    """

    file: str
    file_sha256: str
    request: Asked
    method: str
    before: State
    after: State
    judgement: Judgement
    ledger: Position
    tried: Sequence[Mapping[str, str]] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """The statement in JSON values."""
        predicate = asdict(self)
        file, digest = predicate.pop("file"), predicate.pop("file_sha256")
        return {
            "_type": STATEMENT,
            "subject": [{"name": file, "digest": {"sha256": digest}}],
            "predicateType": PREDICATE,
            "predicate": _plain(predicate),
        }


def _plain(value: Any) -> Any:
    """JSON values alone: tuples become lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
