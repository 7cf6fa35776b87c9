"""`obliviate.toml`: what a project is; read with messages that name the line of what is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from obliviate.errors import ProjectError

FILE: Final = "obliviate.toml"
VERDICTS: Final = ("leaks", "over-unlearned", "utility lost", "not resolvable")
NAME: Final = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?")

TEMPLATE: Final = """\
# What this project trains, how it forgets, and what it promises. Every line is explained in docs/ledger.md;
# what begins with # is the default.

[data]
source = {source}              # a shipped set, a file or a folder, as for `obliviate train --data`
{owner}
# id = "customer_id"           # the column that requests name samples by; left out, the ids of the data
# train_size = 20000
# holdout_size = 1000

[model]
{model}
# options = {{ hidden = [64] }}  # its keyword arguments
# trust = false                # whether a module:function that this file names is imported
# weights = "theirs.pth"       # of a model that was trained elsewhere (docs/ledger.md); left out, it is trained here

[recipe]
# epochs = 20
# optimizer = "sgd"
# learning_rate = 0.1
# batch_size = 64
# seed = 0
# train = "module:function"    # a training of your own in place of these

[method]
try = {methods}   # the first whose outcome is good enough is served; `retrain` is always the last
# tune = 0                     # settings that are tried of each, 0 takes them as they are
# [method.fine_tune]           # settings of a method
# epochs = 3

[audit]
# references = 16              # 0 audits nothing: the certificate says how the model was made, and no more
# retrained = 3
# margin = 5                   # points of AUC that count as no difference; left out, what the data resolve

[policy]                       # what becomes of an outcome: "next" tries the next method, "promote" serves it
# "leaks" = "next"
# "over-unlearned" = "next"
# "utility lost" = "next"
# "not resolvable" = "next"    # "promote" serves it, and the certificate says that nothing could be shown
# batch = 100                  # requests that one unlearning is for at most; 1 takes them one by one
# lease = 60                   # seconds after which a worker that is not heard of has lost its batch
# attempts = 5                 # workers that may end over a batch before it fails
# model_signature = false      # whether weights are signed by OpenSSF Model Signing too (docs/certificate.md)

[retention]
# days = 30                    # a request is due so many days after it was submitted

[ledger]
# url = "sqlite"               # or postgresql://USER@HOST/NAME

[service]                      # `obliviate serve`, and whom the worker tells of what is done (docs/service.md)
# rate = 120                   # calls a minute that are answered for a token
# body = 1048576               # bytes that may be sent at once
# notify = []                  # addresses that are told, ["https://privacy.example.org/obliviate"]
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The content of an `obliviate.toml`.

    >>> Config.parse('[data]\\nsource = "digits"').source
    'digits'
    """

    source: str
    owner: str | None = None
    id: str | None = None
    train_size: int | None = None
    holdout_size: int | None = None
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    trust: bool = False
    weights: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    methods: tuple[str, ...] = ("amun", "retrain")
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tune: int = 0
    references: int = 16
    retrained: int = 3
    margin: float | None = None
    workers: int | None = None
    policy: Mapping[str, str] = field(default_factory=dict)
    batch: int = 100
    lease: float = 60.0
    attempts: int = 5
    model_signature: bool = False
    days: float = 30.0
    url: str = "sqlite"
    rate: float = 120.0
    body: int = 2**20
    notify: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Config:
        """Read a file; raises ProjectError, which names the line, for what cannot be."""
        try:
            text = path.read_text(encoding="utf-8-sig")  # editors of Windows put a mark before it
        except OSError as error:
            raise ProjectError(
                f"expected a project, got no {path.name} in {path.parent} ({error.strerror}); make one with "
                "`obliviate init`, or name its folder with --project"
            ) from error
        except UnicodeDecodeError as error:
            raise ProjectError(f"expected {path} in UTF-8, got {error.reason}; save it as UTF-8") from error
        return cls.parse(text, name=str(path))

    @classmethod
    def parse(cls, text: str, *, name: str = FILE) -> Config:
        """Read a text; raises ProjectError, which names the line, for what cannot be."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ProjectError(f"expected TOML in {name}, got {error}; correct it") from error
        return cls(**_read(values, _Lines(text, name)))

    @property
    def code(self) -> tuple[str, ...]:
        """The functions of somebody's own that the file names.

        >>> Config(source="digits", model="shop:build", recipe={"epochs": 3}).code
        ('shop:build',)
        """
        return tuple(name for name in (self.model, self.recipe.get("train")) if name is not None and ":" in name)

    def action(self, verdict: str) -> str:
        """What becomes of an outcome: "promote" or "next".

        >>> Config(source="digits").action("leaks"), Config(source="digits").action("consistent with retraining")
        ('next', 'promote')
        """
        for prefix in VERDICTS:
            if verdict.startswith(prefix):
                return self.policy.get(prefix, "next")
        return "promote"


@dataclass(frozen=True)
class _Lines:
    """Where in a text a key of a table stands, for messages."""

    text: str
    name: str

    def of(self, table: str, key: str | None = None) -> int:
        """The line of a key, or of its table where the key is not written."""
        current, line_of_table = "", 1
        for number, line in enumerate(self.text.splitlines(), start=1):
            if heading := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
                current = heading[1]
                line_of_table = number if current == table else line_of_table
            elif key is not None and current == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
                return number
        return line_of_table

    def refuse(
        self, table: str, key: str | None, expected: str, got: object, remedy: str = "correct it"
    ) -> ProjectError:
        where = f"[{table}]" if key is None else f"{key} of [{table}]"
        line = self.of(table, key)
        return ProjectError(f"expected {expected} for {where} in {self.name}, line {line}, got {got!r:.80}; {remedy}")


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _whole(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _names(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, str) and NAME.fullmatch(part) for part in value)
    )


def _addresses(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(address, str) and is_address(address) for address in value)


def is_address(text: str) -> bool:
    """Whether a text is an address that may be told something: https, or http on this machine, and no name or password.

    >>> [is_address(text) for text in ("https://example.org/hook", "http://127.0.0.1:80/", "http://example.org/")]
    [True, True, False]
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    whole = text.isascii() and text.isprintable() and " " not in text and port != 0 and not parts.fragment
    return whole and bool(parts.hostname) and "@" not in parts.netloc and parts.scheme in {"https", *(["http"] * local)}


def _even(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (value == 0 or value >= 4) and value % 2 == 0


RULES: Final[Mapping[str, Mapping[str, tuple[str, Callable[[object], bool], str]]]] = {
    "data": {
        "source": ("source", _text, "a shipped set, a file or a folder"),
        "owner": ("owner", _text, "the name of a column"),
        "id": ("id", _text, "the name of a column"),
        "train_size": ("train_size", _whole(1), "a number of samples"),
        "holdout_size": ("holdout_size", _whole(1), "a number of samples"),
    },
    "model": {
        "name": (
            "model",
            lambda value: isinstance(value, str) and bool(NAME.fullmatch(value)),
            "an architecture, or module:function",
        ),
        "options": ("options", lambda value: isinstance(value, dict), "a table of keyword arguments"),
        "trust": ("trust", lambda value: isinstance(value, bool), "true or false"),
        "weights": ("weights", _text, "a file of weights"),
    },
    "method": {
        "try": ("methods", _names, "a list of names of methods"),
        "tune": ("tune", _whole(0), "a number of trials"),
    },
    "audit": {
        "references": ("references", _even, "an even number of models, at least 4, or 0 for no audits"),
        "retrained": ("retrained", _whole(2), "a number of models, at least 2"),
        "margin": ("margin", _number, "points of AUC"),
        "workers": ("workers", _whole(0), "a number of processes"),
    },
    "policy": {
        "batch": ("batch", _whole(1), "a number of requests, at least 1"),
        "lease": ("lease", _number, "a number of seconds"),
        "attempts": ("attempts", _whole(1), "a number of attempts, at least 1"),
        "model_signature": ("model_signature", lambda value: isinstance(value, bool), "true or false"),
    },
    "retention": {"days": ("days", _number, "a number of days")},
    "ledger": {
        "url": (
            "url",
            lambda value: value == "sqlite" or (_text(value) and str(value).startswith("postgresql://")),
            '"sqlite", or a URL that begins with postgresql://',
        )
    },
    "service": {
        "rate": ("rate", _number, "a number of calls a minute"),
        "body": ("body", _whole(1024), "a number of bytes, at least 1024"),
        "notify": ("notify", _addresses, "a list of addresses that begin with https://, or http://127.0.0.1"),
    },
}
RECIPE: Final = {
    "epochs": _whole(1),
    "optimizer": _text,
    "learning_rate": _number,
    "batch_size": _whole(1),
    "weight_decay": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
    "precision": _text,
    "shards": _whole(1),
    "slices": _whole(1),
    "train": lambda value: isinstance(value, str) and ":" in value and bool(NAME.fullmatch(value)),
}


def _read(values: Mapping[str, Any], lines: _Lines) -> dict[str, Any]:
    tables = {*RULES, "recipe"}
    read: dict[str, Any] = {"policy": {}, "settings": {}}
    for table, content in values.items():
        if table not in tables or not isinstance(content, dict):
            raise lines.refuse(table, None, f"a table of {', '.join(sorted(tables))}", table)
        if table == "recipe":
            read |= _read_recipe(content, lines)
        else:
            for key, value in content.items():
                _read_key(read, table, key, value, lines)
    if "source" not in read:
        raise lines.refuse("data", "source", "where the data are", "nothing", "write it")
    methods = list(dict.fromkeys(read.get("methods", _default("methods"))))
    if odd := sorted(set(read["settings"]) - set(methods) - {"retrain"}):
        raise lines.refuse(f"method.{odd[0]}", None, "settings of a method that is tried", odd[0])
    if "retrain" in methods[:-1]:
        raise lines.refuse("method", "try", "retrain as the last method", methods)
    read["methods"] = tuple(methods if methods[-1] == "retrain" else [*methods, "retrain"])
    if "notify" in read:
        read["notify"] = tuple(dict.fromkeys(read["notify"]))
    for key in {"lease", "days", "margin", "rate"} & set(read):
        read[key] = float(read[key])
    return read


def _read_key(read: dict[str, Any], table: str, key: str, value: Any, lines: _Lines) -> None:
    if table == "policy" and key in VERDICTS:
        if value not in ("promote", "next"):
            raise lines.refuse(table, key, '"promote" or "next"', value)
        read["policy"][key] = value
    elif table == "method" and isinstance(value, dict):
        read["settings"][key] = value
    elif key not in RULES[table]:
        keys = ", ".join([*RULES[table], *(VERDICTS if table == "policy" else ())])
        raise lines.refuse(table, key, f"a key of {keys}", key)
    else:
        name, fits, expected = RULES[table][key]
        if not fits(value):
            raise lines.refuse(table, key, expected, value)
        read[name] = value


def _read_recipe(content: Mapping[str, Any], lines: _Lines) -> dict[str, Any]:
    recipe = dict(content)
    seed = recipe.pop("seed", 0)
    if not _whole(0)(seed):
        raise lines.refuse("recipe", "seed", "a whole number, 0 or more", seed)
    for key, value in recipe.items():
        if key not in RECIPE:
            raise lines.refuse("recipe", key, f"a key of seed, {', '.join(RECIPE)}", key)
        if not RECIPE[key](value):
            raise lines.refuse("recipe", key, "a setting of a recipe", value)
    return {"recipe": recipe, "seed": seed}


def _default(name: str) -> Any:
    default = next(entry.default for entry in fields(Config) if entry.name == name)
    assert default is not MISSING
    return default


def template(source: str, *, model: str | None = None, owner: str | None = None, methods: tuple[str, ...] = ()) -> str:
    """The text of a new `obliviate.toml`, with a comment on everything; it is one that `Config.parse` reads.

    >>> Config.parse(template("rows.npz", methods=("fine_tune",))).methods
    ('fine_tune', 'retrain')
    """
    names = methods or tuple(_default("methods"))
    text = TEMPLATE.format(
        source=_quoted(source),
        owner=f"owner = {_quoted(owner)}"
        if owner
        else '# owner = "customer"         # the column that tells whose a sample is',
        model=f"name = {_quoted(model)}"
        if model
        else '# name = "small_cnn"           # or module:function of your own; left out, the data choose',
        methods="[" + ", ".join(_quoted(name) for name in names) + "]",
    )
    Config.parse(text)
    return text


def _quoted(text: str) -> str:
    """A text in TOML.

    >>> _quoted('a "b"')
    '"a \\\\"b\\\\""'
    """
    marks = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(marks.get(letter, letter) for letter in text) + '"'


def inside(folder: Path, name: str) -> Path:
    """A path below a folder; raises ProjectError for one that leads out of it, whoever wrote it.

    >>> inside(Path("/project"), "run/models/original.safetensors").as_posix()
    '/project/run/models/original.safetensors'
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in name or "\\" in name:
        raise ProjectError(f"expected a path below the project, got {name!r:.80}; it leads elsewhere: restore the file")
    return folder / parts
