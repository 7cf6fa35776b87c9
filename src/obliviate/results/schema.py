"""The type of results.json. Its documentation and its JSON Schema (docs/results-schema.md) are made from it.

Accuracies, AUCs, rates, shares, gaps, differences, margins and resolutions are in percent or percentage points, times
in seconds. What is not known, was not asked for or cannot be had is None or empty, and never left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue

from obliviate.results.canaries import CoinFlips, PlantedNoise
from obliviate.results.facts import DataFacts, Machine, ReferenceFacts, TaskFacts
from obliviate.results.findings import Findings
from obliviate.results.model import ModelResult
from obliviate.results.values import Picture

SCHEMA: Final = "obliviate.results/5"


class Results(Findings):
    """The content of results.json: what an audit found, and where it comes from."""

    schema_: Annotated[Literal["obliviate.results/5"], Field(alias="schema")] = SCHEMA
    """name and version of this schema"""
    obliviate: str
    """version of the package"""
    created: str
    """time (UTC)"""
    seed: int
    """of the folder"""
    command: str | None = None
    """what repeats it, where one command does"""
    task: TaskFacts
    """what the models are for"""
    data: DataFacts
    """what they were trained on"""
    data_sha256: str
    """hash of ids and content of all parts"""
    recipe: dict[str, JsonValue]
    """what reproduces the training"""
    references: ReferenceFacts
    """the reference pool"""
    wall_seconds: float
    """of the command that wrote the file"""
    peak_rss_mb: float
    """memory of that command: itself plus its largest child process"""
    versions: dict[str, str]
    """of Python and libraries"""
    machine: Machine
    """where it was computed"""
    coin_flips: CoinFlips | None = None
    """null where no coins were tossed, or others than these samples are forgotten"""
    planted_noise: PlantedNoise | None = None
    """null where no noise was planted, or others than these samples are forgotten"""
    notes: tuple[str, ...] = ()
    """plain sentences: what was asked for and could not be done, such as shadows of a method that has none"""
    pictures: dict[str, Picture] = Field(default_factory=dict)
    """the samples of `exposure.samples` that the report shows, by name, where they are images"""
    limits: tuple[str, ...]
    """plain sentences: what was not proven"""

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings, numbers and None: what stands in the file."""
        return self.model_dump(mode="json", by_alias=True)


def exposed_names(models: Sequence[ModelResult], shown: int) -> list[str]:
    """The names of the `shown` most exposed samples of every model that was trained on the forget set, each once."""
    exposed = [model.exposure.samples[:shown] for model in models if model.role != "retrained"]
    return list(dict.fromkeys(sample.name for samples in exposed for sample in samples))
