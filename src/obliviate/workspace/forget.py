"""What `--forget` texts mean: a rule by the beginning of the text, or ids with commas between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from obliviate.data.samples import Samples
from obliviate.data.split import class_ids, random_ids
from obliviate.errors import DataError
from obliviate.types import SampleId
from obliviate.workspace.plan import Plan


@dataclass(frozen=True, eq=False)
class Among:
    """What a rule chooses from: training samples, the seed of their folder, and what was planned before training."""

    folder: Path
    train: Samples
    seed: int
    plan: Plan


@dataclass(frozen=True, eq=False)
class Chosen:
    """The ids to forget, and how they were chosen in a few words."""

    ids: Sequence[SampleId]
    rule: str


Rule = Callable[[str, Among], Chosen]
"""Chooses by what follows the beginning of the text."""


def read(text: str, among: Among) -> Chosen:
    """Choose by a text: one of `RULES`, or ids; raises DataError for a rule that cannot be followed.

    The ids are not looked up here: `Split.of` refuses those that are unknown.
    """
    for begins, rule in RULES.items():
        if text == begins or (text.startswith(begins) and not begins.isalpha()):
            return rule(text.removeprefix(begins), among)
    return Chosen([one.strip() for one in text.split(",") if one.strip()], "ids")


def _random(share: str, among: Among) -> Chosen:
    try:
        fraction = float(share)
    except ValueError as error:
        text = f"random:{share}"
        raise DataError(f"expected random:SHARE with a share in (0, 1), got {text!r}; try random:0.1") from error
    return Chosen(random_ids(among.train, fraction, seed=among.seed).tolist(), f"random {100 * fraction:g} %")


def _class(label: str, among: Among) -> Chosen:
    return Chosen(class_ids(among.train, label).tolist(), f"class {label}")


def _coins(_: str, among: Among) -> Chosen:
    if (coins := among.plan.tossed) is None:
        raise DataError(
            f"expected a folder with coins to forget the heads of, got {among.folder} without; "
            "train with `obliviate train --coins 1000` in a new one"
        )
    heads = coins.heads.tolist()
    return Chosen(heads, f"the {len(heads)} heads of {len(coins)} coins")


def _noise(_: str, among: Among) -> Chosen:
    if (noise := among.plan.planted) is None:
        raise DataError(
            f"expected a folder with noise to forget the samples of, got {among.folder} without; "
            "train with `obliviate train --noise 500` in a new one"
        )
    ids = noise.clean.ids.tolist()
    return Chosen(ids, f"noise planted in {len(ids)} samples")


def _file(name: str, _: Among) -> Chosen:
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected a text file with one id a line, got {name} ({error}); check it") from error
    return Chosen([one.strip() for one in lines if one.strip()], f"ids from {Path(name).name}")


RULES: Final[dict[str, Rule]] = {
    "random:": _random,
    "class:": _class,
    "coins": _coins,
    "noise": _noise,
    "@": _file,
}
"""Rules by how their text begins; a plain word is a rule only if it is the whole text."""
