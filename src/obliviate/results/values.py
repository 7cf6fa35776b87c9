"""What figures of results.json are made of: intervals, units and the words of a verdict."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal[
    "consistent with retraining", "leaks", "over-unlearned", "utility lost", "not resolvable with these data"
]
Part = Literal["forget", "retain", "unseen"]
Use = Literal["verdict", "figure", "cheap"]
"""What an attack is for: verdicts rest on it, its AUCs are shown beside them, or it looks at one model only."""
Baseline = Literal["retrained", "references"]
Unit = Literal["percent", "R²", "perplexity"]
Picture = Annotated[str, Field(pattern=r"^data:image/png;base64,[A-Za-z0-9+/]+={0,2}$")]
"""A PNG file inside the text, so that a page that shows it asks for nothing outside."""
PASSED: Final[Verdict] = "consistent with retraining"


class Value(BaseModel):
    """Immutable, without unknown fields, NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, populate_by_name=True
    )


class Interval(Value):
    """A figure with its confidence limits, at `settings.confidence` unless another level is told.

    >>> Interval(value=50, low=48, high=52).half
    2.0
    """

    value: float
    """the estimate"""
    low: float
    """lower limit"""
    high: float
    """upper limit"""

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2
