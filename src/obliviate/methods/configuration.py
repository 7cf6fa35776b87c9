"""Methods with hyperparameters that somebody wrote down: on a command line, in a plan."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from obliviate.errors import MethodError

LARGEST: Final = 2**63 - 1
WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}


def configured(cls: type[Any], values: Mapping[str, Any], *, remedy: str = "correct it") -> Any:
    """Make a method with hyperparameters of these values.

    Raises MethodError, which ends in `remedy`, for names that the method does not have and values of another type, and
    what the method raises for values out of range.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> configured(FineTune, {"epochs": 3, "learning_rate": 1}).learning_rate
    1.0
    """
    kinds = written_kinds(cls)
    fields = {field.name: field.default for field in dataclasses.fields(cls) if kinds[field.name]}
    settings: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise MethodError(f"expected a hyperparameter of {cls.name} ({known}), got {name!r:.60}; {remedy}")
        number = number_for(kinds[name], value)
        if type(number) not in kinds[name]:
            kind = " or ".join(WORDS[accepted] for accepted in kinds[name])
            raise MethodError(
                f"expected {name} to be {kind} (the default is {json.dumps(fields[name])}), got {value!r:.60}; {remedy}"
            )
        settings[name] = number
    return cls(**settings)


def number_for(kinds: Sequence[type], value: Any) -> Any:
    """A whole number as the float that one of the kinds asks for, if it can be one; anything else as it is.

    >>> number_for([float], 3), number_for([int, str], 3)
    (3.0, 3)
    """
    return float(value) if float in kinds and type(value) is int and abs(value) <= LARGEST else value


def written_kinds(cls: type[Any]) -> dict[str, list[type]]:
    """The types that each field of a method takes, of those that can be written as text; none for other fields.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> written_kinds(FineTune)["epochs"]
    [<class 'int'>, <class 'str'>]
    """
    types: dict[str, list[type]] = {}
    for name, hint in get_type_hints(cls).items():
        options = (hint,) if get_origin(hint) is Literal else get_args(hint) or (hint,)
        named = (
            (type(literal) for literal in get_args(part)) if get_origin(part) is Literal else (part,)
            for part in options
        )
        parts = [kind for kinds in named for kind in kinds]
        plain = [kind for kind in dict.fromkeys(parts) if kind in {bool, int, float, str}]
        types[name] = [*plain, *(kind for kind in parts if kind is type(None))] if plain else []
    return types
