"""A recipe as a file: TOML with the fields of `Recipe`, whose mistakes are told with their lines."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from obliviate.errors import RecipeError
from obliviate.training.recipe import Recipe

T = TypeVar("T")

TABLES: Final = ("model_options", "optimizer_options")
KINDS: Final[Mapping[str, tuple[str, tuple[type, ...]]]] = {
    **dict.fromkeys(("model", "optimizer", "schedule", "augmentation", "precision", "train"), ("a text", (str,))),
    **dict.fromkeys(("epochs", "batch_size", "shards", "slices"), ("a whole number", (int,))),
    **dict.fromkeys(("learning_rate", "momentum", "weight_decay", "gamma"), ("a number", (int, float))),
    **dict.fromkeys(TABLES, ("a table", (dict,))),
    **dict.fromkeys(("class_weights", "milestones"), ("a list of numbers", (list,))),
}


@dataclass(frozen=True)
class RecipeFile:
    """The fields that a file sets, by their names, and the file itself, to tell where a mistake is."""

    path: Path
    settings: Mapping[str, Any]

    @property
    def code(self) -> tuple[str, ...]:
        """The functions that it names: code that is run where the recipe is used."""
        named = (str(self.settings.get(name, "")) for name in ("model", "augmentation", "train"))
        return tuple(name for name in named if ":" in name)

    def used(self, make: Callable[[], T]) -> T:
        """Make something of the settings; a RecipeError that names one of them tells its line."""
        try:
            return make()
        except RecipeError as error:
            head = str(error).partition(", got ")[0]
            for name in sorted(self.settings, key=len, reverse=True):
                if re.search(rf"\b{name}\b", head) or re.search(rf"\b{name.replace('_', ' ')}\b", head):
                    raise RecipeError(f"{error} ({self.path}, {_line(self.path, name)})") from error
            raise


def read_recipe(path: Path) -> RecipeFile:
    """Read a recipe's fields from a file, whose names and kinds are checked; what is not set keeps its default.

    Raises RecipeError for a missing file, one that is not TOML, an unknown field, and a value of another kind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "recipe.toml"
    ...     _ = path.write_text('epochs = 200\\nschedule = "step"\\nmilestones = [100, 150]\\n')
    ...     dict(read_recipe(path).settings)
    {'epochs': 200, 'schedule': 'step', 'milestones': (100, 150)}
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"expected a recipe in {path}, got {error.strerror}; name a file that there is") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"expected TOML in {path}, got {error}; correct it there") from error
    fields = [setting.name for setting in dataclasses.fields(Recipe)]
    for name, value in values.items():
        where = f"{path}, {_line(path, name)}"
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(fields)}"
            raise RecipeError(f"expected fields of a recipe, got {name!r} ({where}); {hint}")
        kind, types = KINDS[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise RecipeError(f"expected {name} to be {kind}, got {value!r:.60} ({where}); correct it")
    return RecipeFile(path, {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def _line(path: Path, name: str) -> str:
    """Where a field stands in the file."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if re.match(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*(=|\]|\.)""", line):
            return f"line {number}"
    return f"field {name}"
