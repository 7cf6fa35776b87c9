"""What commands take: options that several of them share, and values that are written as text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from cyclopts import Parameter, Token, convert

from obliviate.errors import MethodError, RecipeError
from obliviate.training.compute import Compute

if TYPE_CHECKING:
    from obliviate.data.sources import Data

Out = Annotated[Path, Parameter(help="Folder for everything this command makes; run again to resume.")]
Seed = Annotated[int, Parameter(help="Seed of every random choice.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the results as JSON instead of a table.")]
References = Annotated[int, Parameter(help="Number of reference models for the membership attack (even, at least 4).")]
Retrained = Annotated[
    int,
    Parameter(
        help="Number of retrained models to compare with: at least 2, or 0 to train none and compare with the "
        "references; those that are in the folder take part all the same if there are at least 2."
    ),
]
Request = Annotated[
    int | None, Parameter(help="Number of the request, of those that the folder has had; the last if left out.")
]
Trust = Annotated[
    bool,
    Parameter(
        negative="",
        help="Import the model of your own that the folder names; whoever wrote the folder chose that code.",
    ),
]
Pseudonyms = Annotated[
    Path | None,
    Parameter(
        help="File of a key, by which ids and owners are written as keyed hashes in everything that is kept; `train` "
        "makes it if it is not there. OBLIVIATE_PSEUDONYMS names it too."
    ),
]
Workers = Annotated[int | None, Parameter(help="Processes that train references; one per core if left out.")]
Executor = Annotated[
    str | None,
    Parameter(
        help="Who trains: processes (the default), ray, dask, slurm; an address such as ray://HOST:PORT or "
        "tcp://HOST:PORT (Dask); slurm:partition=NAME,timeout_min=N; or module:function of your own that returns an "
        "executor (docs/howto/outgrow-one-machine.md)."
    ),
]
Exchange = Annotated[
    str | None,
    Parameter(
        help="Where machines that do not see --out read what to train and leave what they trained, such as "
        "s3://bucket/jobs; references alone are made so."
    ),
]


def written(type_: Any, tokens: Sequence[Token]) -> Any:
    """Read an option as cyclopts does, but whole numbers only as they are, none rounded and none beyond 64 bits.

    Raises ValueError, of which cyclopts tells with the option's name.
    """
    if {type_, *get_args(type_)} <= {int, type(None)} and tokens:
        text = tokens[0].value.strip()
        digits = text.removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdecimal()):
            raise ValueError(f"expected a whole number, got {text[:60]!r}; write it in digits alone.")
        if len(digits) > len(str(LARGEST)) or int(digits) > LARGEST:
            raise ValueError(f"expected a number of at most {LARGEST:,}, got {text[:60]}; write a smaller one.")
        return int(text)
    return convert(type_, tokens)


@Parameter(name="*")
@dataclass(frozen=True)
class ComputeOptions:
    """What every command that computes may be told of the machine (`training.compute`)."""

    device: Annotated[
        str | None,
        Parameter(help="Where to compute: cpu, cuda, cuda:1, mps; auto, or left out, the GPU where there is one."),
    ] = None
    precision: Annotated[
        Literal["auto", "bfloat16", "float32"],
        Parameter(help="Number format of trainings; auto is what the recipe says, or what the device is fast at."),
    ] = "auto"
    loader_workers: Annotated[
        int, Parameter(converter=written, help="Processes that read samples which are not held in memory.")
    ] = 0
    evaluation_batch: Annotated[
        int, Parameter(converter=written, help="Samples that a model is asked about at once where nothing is trained.")
    ] = 500
    accumulate: Annotated[
        int,
        Parameter(
            converter=written, help="Pieces in which each batch is computed, one after the other, for less memory."
        ),
    ] = 1
    gradient_checkpointing: Annotated[
        bool,
        Parameter(
            negative="", help="Keep nothing between the blocks of a model for the way back: less memory, slower."
        ),
    ] = False

    def used(self) -> AbstractContextManager[object]:
        """Compute with these inside; raises TrainingError for settings out of range and a device that is not there."""
        if self.device is not None:
            from obliviate.training.device import chosen

            chosen(self.device)
        return Compute(**dataclasses.asdict(self)).used()


PLAIN: Final = ComputeOptions()


LARGEST: Final = 2**63 - 1


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object; raises RecipeError for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f'expected a JSON object such as {{"classes": 10}}, got {text!r:.200} ({error}); correct it'
        ) from error
    if not isinstance(value, dict):
        raise RecipeError(f'expected a JSON object such as {{"classes": 10}}, got {text!r}; correct it')
    return value


def share_of(text: str) -> float:
    """Read a share of a retraining, "15%" or 0.15; raises MethodError for anything else.

    >>> share_of("15%"), share_of("0.15")
    (0.15, 0.15)
    """
    number = text.removesuffix("%")
    try:
        value = float(number) / (100 if number != text else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise MethodError(f"expected a share of a retraining such as 15% or 0.15, got {text!r}; correct --budget")
    return value


def weights_of(text: str, data: Data) -> tuple[float, ...]:
    """Read class weights: numbers with commas between them, or "balanced", which the training labels give.

    Raises RecipeError for anything else, and for data without classes.
    """
    if data.kind != "classification":
        raise RecipeError(f"expected data of classes for class weights, got {data.kind}; leave out --class-weights")
    if text == "balanced":
        from obliviate.training.class_weights import balanced_weights

        return balanced_weights(data.train.targets, data.classes)
    try:
        return tuple(float(weight) for weight in text.split(","))
    except ValueError as error:
        raise RecipeError(
            f"expected balanced, or a number a class with commas between them (1,50), got {text!r}; "
            "correct --class-weights"
        ) from error


def configure(cls: type[Any], assignments: Sequence[str]) -> Any:
    """Make a method with hyperparameters given as NAME=VALUE; raises MethodError for wrong names or values."""
    from obliviate.methods.configuration import WORDS, number_for, written_kinds

    kinds = written_kinds(cls)
    fields = {field.name: field.default for field in dataclasses.fields(cls) if kinds[field.name]}
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or name not in fields:
            hyperparameters = ", ".join(fields) or "none"
            raise MethodError(
                f"expected NAME=VALUE with a hyperparameter of {cls.name} ({hyperparameters}), got {text!r}; correct it"
            )
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = value
        parsed = number_for(kinds[name], parsed)
        if type(parsed) not in kinds[name]:
            kind = " or ".join(WORDS[accepted] for accepted in kinds[name]) or "set in Python only"
            raise MethodError(
                f"expected {name} to be {kind} (the default is {json.dumps(fields[name])}), got {value!r:.60}; "
                f"correct --set {text:.60}"
            )
        values[name] = parsed
    return cls(**values)
