"""What an audit says of one record: record.json, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from obliviate.results.roles import Role
from obliviate.results.values import Value, Verdict

SCHEMA: Final = "obliviate.record/1"


class RecordScore(Value):
    """How much one attack takes the record for a member, among unseen samples.

    >>> RecordScore(attack="lira", score=1.5, rank=3, unseen=99, p=0.03).rank
    3
    """

    attack: str
    """name of the attack"""
    score: float
    """of the record, higher for members"""
    rank: int
    """place among the unseen samples and itself, 1 for the highest score; of equal scores the record has the last"""
    unseen: int
    """number of unseen samples that it was ranked among"""
    p: float
    """rank / (unseen + 1): how likely so high a rank would be for a sample that was never seen"""


class RecordModel(Value):
    """What attacks say of the record on one model."""

    name: str
    """label of the model"""
    role: Role
    """its part in the audit"""
    method: str
    """what made it"""
    weights_sha256: str | None
    """hash of its weights"""
    correct: bool | None
    """whether it is right about the record; null where there is no right and wrong"""
    scores: tuple[RecordScore, ...]
    """by attack, the leading one first"""

    def of(self, attack: str) -> RecordScore:
        """The score by an attack of this name."""
        return next(score for score in self.scores if score.attack == attack)


class RecordAudit(Value):
    """Models beside each other on one record: ranks and p-values, and why they are no verdict.

    Where the record was never seen, p is uniform: a model that forgot it has p below 0.05 in one case of twenty, and a
    high p does not show that it was forgotten.
    """

    schema_: Annotated[Literal["obliviate.record/1"], Field(alias="schema")] = SCHEMA
    """name and version of this schema"""
    record: str
    """id of the record"""
    references: int
    """number of reference models"""
    lead: str
    """the attack whose figures stand in tables"""
    models: tuple[RecordModel, ...]
    """the original, then retrained and unlearned models"""
    verdict: Verdict = "not resolvable with these data"
    """of every model: one record shows no rate"""
    missing: str
    """what an audit with a verdict would need, in a sentence"""

    def to_dict(self) -> dict[str, Any]:
        """The content of record.json."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RecordAudit:
        """Read what `to_dict` returned; raises ValueError for anything else."""
        return cls.model_validate(values)
