"""What to forget: rules that choose among training samples, and the texts that stand for them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from obliviate._util.seeds import derive
from obliviate.data.amounts import read_amount
from obliviate.data.lists import located, read_names
from obliviate.data.lookup import Lookup, Unknown, check_unknown, look_up, spelling
from obliviate.data.owners import NOBODY
from obliviate.data.predicate import find, hint, matched, parse, plain
from obliviate.data.samples import Samples
from obliviate.errors import DataError
from obliviate.types import Ids, SampleId

LABEL: Final = "label"
INPUT: Final = re.compile(r"x(0|[1-9][0-9]{0,6})")
SHOWN: Final = 20  # classes that an error lists
SHOWN_VALUES: Final = 10  # owners that an error lists


@runtime_checkable
class Table(Protocol):
    """Columns by their names: a mapping, or a DataFrame."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """The names, and the entries of each column."""
        ...


def columns_of(table: Table | None) -> dict[str, np.ndarray]:
    """The columns of a table by their names; none of None.

    Raises DataError for what is no table.

    >>> columns_of({"age": [17, 30]})
    {'age': array([17, 30])}
    """
    if table is not None and not isinstance(table, Table):
        raise DataError(
            f"expected columns by their names, got {type(table).__name__}; give a dict of them, or a DataFrame"
        )
    return {} if table is None else {str(name): np.asarray(column) for name, column in table.items()}


@dataclass(frozen=True, eq=False)
class Among:
    """What a rule chooses from: training samples, columns with one entry for each of them, and a seed.

    `owner` names the column that tells whom a sample is about. `classes` are the names of the classes, if they have
    any; `inputs` are more columns, which are inputs of the model. `elsewhere` and `owners_elsewhere` are ids and owners
    that are not trained on, by where they are ("test", "holdout", "forgotten"). `unknown` says what becomes of a
    request that names what is not there: it is refused, or those names are skipped (`lookup.Lookup`).

    Raises DataError for a column of another length.
    """

    train: Samples
    metadata: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None
    seed: int = 0
    classes: Sequence[str] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, Any] = field(default_factory=dict)
    owners_elsewhere: Mapping[str, Any] = field(default_factory=dict)
    unknown: Unknown = "refuse"

    def __post_init__(self) -> None:
        check_unknown(self.unknown)
        columns = columns_of(self.metadata)
        for name, column in columns.items():
            if column.shape != (len(self.train),):
                raise DataError(
                    f"expected one {name} per training sample, got an array of shape {column.shape} for "
                    f"{len(self.train)} samples; align them"
                )
        object.__setattr__(self, "metadata", columns)

    def columns(self, wanted: Iterable[str]) -> dict[str, np.ndarray]:
        """What conditions may read: metadata, inputs by name, and `label`, the class of a sample, by its name if any.

        Inputs of rows without names are `x0`, `x1` and so on; they are read where they are among those `wanted`.
        """
        columns = {name: np.asarray(column) for name, column in self.inputs.items()} | dict(self.metadata)
        labels = self.train.targets if LABEL not in columns else torch.empty(0, 0)
        if labels.ndim == 1:
            plain_labels = labels.numpy()
            columns[LABEL] = np.asarray(self.classes, dtype=np.str_)[plain_labels] if self.classes else plain_labels
        numbered = {name for name in wanted if name not in columns and INPUT.fullmatch(name)}
        if numbered and (x := self.train.everything().x.cpu()).ndim == 2:
            places = {name: int(name[1:]) for name in numbered}
            columns |= {name: x[:, place].numpy() for name, place in places.items() if place < x.shape[1]}
        return columns

    @property
    def owners(self) -> np.ndarray:
        """The column of owners; raises DataError where there is none."""
        if self.owner is None:
            raise DataError(
                "expected data with a column of owners, got data without; say which column it is, "
                "choose by another one with where:COLUMN == …, or name ids"
            )
        return find(self.owner, self.metadata)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The ids to forget, how they were chosen in a few words, and the `scores` that the rule gave each, by a heading.

    Scores are of the first of the ids, where copies came along after them. `references` is how many
    reference models were asked: they are no baseline for samples that they have chosen. `grouped` says that the
    samples were chosen for what they have in common. `asked` has what became of every name of a list (`lookup.Entry`).

    >>> Chosen(["a", "c"], "those that complained").rule
    'those that complained'
    """

    ids: Sequence[SampleId]
    rule: str
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    references: int = 0
    grouped: bool = False
    asked: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, eq=False)
class Rule:
    """A way to choose among training samples; `text` is how it is written on the command line.

    >>> train = Samples.from_tensors(torch.zeros(3, 1), torch.tensor([0, 1, 0]), ids=list("abc"))
    >>> last = Rule("last", lambda among: Chosen([str(among.train.ids[-1])], "the last"))
    >>> last.choose(Among(train)).ids
    ['c']
    """

    text: str
    choose: Callable[[Among], Chosen] = field(repr=False)


Forget: TypeAlias = str | Rule | Iterable[SampleId] | Ids
"""What to forget: ids, a rule, or the text of a rule."""


def choose(forget: Forget, among: Among, texts: Mapping[str, Callable[[str], Rule]] | None = None) -> Chosen:
    """Follow a rule, or its text; ids are taken as they are: `Split.of` refuses those that are unknown.

    `texts` are more beginnings of texts, beside `TEXTS`. Raises DataError for a rule that cannot be followed.

    >>> among = Among(Samples.from_tensors(torch.zeros(3, 1), torch.tensor([0, 1, 0]), ids=list("abc")))
    >>> choose("class:0", among).ids
    ['a', 'c']
    """
    rule = read(forget, TEXTS | dict(texts or {})) if isinstance(forget, str) else forget
    if isinstance(rule, Rule):
        return rule.choose(among)
    if not isinstance(rule, Iterable):
        raise DataError(
            f"expected ids, a rule or its text to say what to forget, got {rule!r:.100}; a tenth is 'random:0.1'"
        )
    named = list(rule)
    if named and all(_is_boolean(entry) for entry in named):
        raise DataError("expected ids to forget, got a mask of true and false; name them, as in `samples.ids[mask]`")
    return Chosen([str(sample_id) for sample_id in named], "ids")


def _is_boolean(entry: object) -> bool:
    return isinstance(entry, bool | np.bool_) or (isinstance(entry, Tensor) and entry.dtype == torch.bool)


def read(text: str, texts: Mapping[str, Callable[[str], Rule]]) -> Rule:
    """Find the rule that a text stands for by how it begins; a plain word is a rule only if it is the whole text."""
    for begins, rule in texts.items():
        if text == begins or (text.startswith(begins) and not begins.isalpha()):
            return rule(text.removeprefix(begins))
    return _listed(text, texts)


# ------------------------------------------------------------------------------------------- the rules


def owner(*names: str) -> Rule:
    """Choose every training sample of these owners, in the order of the training set.

    Names may be written in any `lookup.spelling`. Raises DataError, when the rule is followed, for owners that no
    sample has; it names no others.

    >>> train = Samples.from_tensors(torch.zeros(3, 1), torch.zeros(3), ids=list("abc"))
    >>> owner("ann").choose(Among(train, {"person": ["ann", "bob", "ann"]}, owner="person")).ids
    ['a', 'c']
    """
    if not names or not all(names):
        raise DataError("expected the name of an owner, got none; write owner:NAME, or several with commas")

    def chosen(among: Among) -> Chosen:
        rule, lookup = _owners(among, list(map(str, names)))
        return replace(rule, rule=f"owner {', '.join(lookup.found)}")

    return Rule(f"owner:{','.join(map(str, names))}", chosen)


def _owners(among: Among, names: Sequence[str], *, listed: bool = False) -> tuple[Chosen, Lookup]:
    """Every training sample of the owners of these names, and what became of the names."""
    column = plain(among.owners).astype(np.str_)
    owners = np.unique(column[column != NOBODY]).tolist()
    lookup = look_up(names, owners, among.owners_elsewhere, listed=listed, heading=among.owner or "")
    wanted = lookup.checked(f"owners, in column {among.owner!r},", among.unknown, samples=len(among.train))
    ids = among.train.ids[np.isin(column, wanted)].tolist()
    if not ids:
        raise DataError("expected owners of samples that are still trained on, got forgotten ones; leave them out")
    return Chosen(ids, "", grouped=True, asked=_table(lookup)), lookup


def _table(lookup: Lookup) -> list[dict[str, str]]:
    return [entry.to_dict() for entry in lookup.entries]


def where(condition: str) -> Rule:
    """Choose the training samples that meet a condition on metadata columns (see `predicate.Predicate`).

    Raises DataError for a text that is no condition, and, when the rule is followed, for unknown columns and for
    conditions that all samples or none of them meet. `label` is the class, and inputs are columns (`Among.columns`).

    >>> train = Samples.from_tensors(torch.zeros(3, 1), torch.zeros(3), ids=list("abc"))
    >>> columns = {"age": [17, 18, 50], "town": ["Ulm", "Bonn", "Bonn"]}
    >>> where("age >= 18 and town != 'Ulm'").choose(Among(train, columns)).ids
    ['b', 'c']
    """
    parsed = parse(condition)

    def chosen(among: Among) -> Chosen:
        mask = matched(parsed, among.columns(parsed.columns), private=[among.owner])
        ids = among.train.ids[mask].tolist()
        return Chosen(ids, f"where {parsed.text}", grouped=True)

    return Rule(f"where:{parsed.text}", chosen)


def with_copies(forget: Forget) -> Rule:
    """Choose what ids, a rule or its text choose, and every training sample that is a copy of one of these.

    A copy has the same input, bit for bit, whatever its label and its id. Rows of few categories are equal by chance.

    >>> x = torch.tensor([[1.0], [2.0], [1.0]])
    >>> train = Samples.from_tensors(x, torch.tensor([0, 1, 1]), ids=["a", "b", "c"])
    >>> with_copies(["a"]).choose(Among(train)).ids
    ['a', 'c']
    """
    text = forget if isinstance(forget, str) else forget.text if isinstance(forget, Rule) else "ids"
    return Rule(f"{text}, with copies", lambda among: and_copies(choose(forget, among), among))


def and_copies(chosen: Chosen, among: Among) -> Chosen:
    """Add the copies of what was chosen, after it; raises DataError for unknown or duplicate ids."""
    asked = among.train.select(chosen.ids)
    copies = among.train.without(asked.ids).copies_of(asked).tolist()
    if not copies:
        return chosen
    word = "copy" if len(copies) == 1 else "copies"
    return replace(chosen, ids=[*chosen.ids, *copies], rule=f"{chosen.rule}, with {len(copies)} {word}")


def random_ids(train: Samples, share: float, *, seed: int) -> Ids:
    """Choose a random share of the training samples, in (0, 1); the count is rounded to the nearest.

    >>> train = Samples.from_tensors(torch.zeros(10, 2), torch.zeros(10))
    >>> len(random_ids(train, 0.3, seed=0))
    3
    """
    if not (0 < share < 1) or math.isnan(share):
        raise DataError(f"expected a share of the training set in (0, 1), got {share}; ten per cent is 0.1")
    count = max(1, round(share * len(train)))
    generator = np.random.default_rng(derive(seed, "forget"))
    return train.ids[np.sort(generator.choice(len(train), size=count, replace=False))]


def class_ids(train: Samples, label: int | str, names: Sequence[str] = ()) -> Ids:
    """Choose every training sample of one class, by its number, or by its name where it has one.

    A name goes before a number: of classes "1", "2" and "3", "2" is that in the middle. Raises DataError for a class
    that does not exist.

    >>> train = Samples.from_tensors(torch.zeros(3, 2), torch.tensor([0, 1, 0]), ids=list("abc"))
    >>> class_ids(train, 0).tolist()
    ['a', 'c']
    """
    labels = train.targets
    if labels.ndim != 1 or labels.is_floating_point():
        raise DataError(
            f"expected one integer label per sample, got {labels.dtype} labels of shape {tuple(labels.shape)}; name ids"
        )
    counts = dict(zip(*(tensor.tolist() for tensor in labels.unique(return_counts=True)), strict=True))
    chosen = _class_number(label, list(counts), names)
    if chosen is None:
        called = {value: class_name(value, names) for value in counts}
        (first, count), *others = counts.items()
        listed = [f"{called[first]} with {count} samples", *(f"{called[value]} with {n}" for value, n in others)][
            :SHOWN
        ]
        more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
        raise DataError(
            f"expected a class of the training set ({', '.join(listed)}{more}), got {label!r}; name one of them"
        )
    return train.ids[(labels == chosen).numpy()]


def class_name(number: int, names: Sequence[str]) -> str:
    """What people call a class: its name, with its number where that is another word; the number without a name.

    >>> class_name(1, ["cat", "dog"]), class_name(1, []), class_name(1, ["0", "1"])
    ('dog (number 1)', '1', '1')
    """
    name = names[number] if 0 <= number < len(names) else str(number)
    return name if name == str(number) else f"{name} (number {number})"


def _class_number(label: int | str, labels: Sequence[int], names: Sequence[str]) -> int | None:
    """The class of the training set that is called so, None if there is none."""
    if not isinstance(label, int):
        called = {names[number]: number for number in labels if 0 <= number < len(names)}
        if matches := look_up([str(label)], called).found:
            return called[matches[0]]
        folded = [number for name, number in called.items() if spelling(name).casefold() == spelling(label).casefold()]
        if len(folded) == 1:
            return folded[0]
    numbers = {str(number): number for number in labels}
    matches = look_up([str(label)], numbers).found
    return numbers[matches[0]] if matches else None


def with_value(name: str, column: np.ndarray, value: str) -> Shaped[np.ndarray, " n"]:
    """Which entries of a column are a value, both as text; raises DataError where none is, with close ones.

    >>> with_value("owner", np.array([7, 12, 7]), "7").tolist()
    [True, False, True]
    """
    entries = plain(column).astype(np.str_)
    mask = entries == value
    if not mask.any():
        distinct, counts = np.unique(entries, return_counts=True)
        most = [f"{distinct[i]} with {counts[i]}" for i in np.argsort(-counts, kind="stable")[:SHOWN_VALUES]]
        listed = ", ".join([*most, "…"] if len(distinct) > SHOWN_VALUES else most)
        raise DataError(
            f"expected {name} to be one of the training samples' ({len(distinct)} in all: {listed}), got {value!r}; "
            + hint(value, distinct.tolist())
        )
    return mask


# ------------------------------------------------------------------------------------------- their texts


def _random(share: str) -> Rule:
    text = f"random:{share}"
    try:
        fraction = float(share)
    except ValueError as error:
        raise DataError(f"expected random:SHARE with a share in (0, 1), got {text!r}; try random:0.1") from error
    words = f"random {100 * fraction:g} %"
    return Rule(text, lambda among: Chosen(random_ids(among.train, fraction, seed=among.seed).tolist(), words))


def _class(label: str) -> Rule:
    def chosen(among: Among) -> Chosen:
        ids = class_ids(among.train, label, among.classes).tolist()
        number = int(among.train.select(ids[:1]).targets[0])
        return Chosen(ids, f"class {class_name(number, among.classes)}", grouped=True)

    return Rule(f"class:{label}", chosen)


def _owner(names: str) -> Rule:
    def chosen(among: Among) -> Chosen:
        owners = set(plain(among.owners).astype(np.str_).tolist())
        whole = names in owners  # a name may have a comma in it
        if names.startswith("@") and not whole:
            elsewhere = (str(name) for part in among.owners_elsewhere.values() for name in part)
            headings = [among.owner or "", "owner"]
            listed = read_names(names[1:], known=owners | set(elsewhere), headings=headings)
            chosen, lookup = _owners(among, listed, listed=True)
            count = len(lookup.found)
            return replace(
                chosen, rule=f"{count:,} {'owner' if count == 1 else 'owners'} from {located(names[1:])[0].name}"
            )
        parts = [names] if whole else [name.strip() for name in names.split(",") if name.strip()]
        return owner(*parts).choose(among)

    return Rule(f"owner:{names}", chosen)


def _file(name: str) -> Rule:
    def chosen(among: Among) -> Chosen:
        elsewhere = (str(sample_id) for part in among.elsewhere.values() for sample_id in part)
        ids = {*map(str, among.train.ids.tolist()), *elsewhere}
        listed = read_names(name, known=ids, headings=["id", "ids"])
        return _looked_up(among, listed, f"ids from {located(name)[0].name}", listed=True)

    return Rule(f"@{name}", chosen)


def _looked_up(among: Among, names: Sequence[str], rule: str, *, listed: bool = False) -> Chosen:
    """The ids of the training set that are written so."""
    lookup = look_up(names, among.train.ids.tolist(), among.elsewhere, listed=listed)
    ids = lookup.checked("ids", among.unknown, samples=len(among.train))
    return Chosen(ids, rule, asked=_table(lookup))


def _listed(text: str, texts: Mapping[str, Any]) -> Rule:
    ids = [sample_id.strip() for sample_id in text.split(",") if sample_id.strip()]
    word, colon, _ = text.partition(":")

    def chosen(among: Among) -> Chosen:
        if colon and text not in among.train.ids and not look_up(ids, among.train.ids.tolist(), among.elsewhere).found:
            close = hint(f"{word}:", [begins for begins in texts if begins.endswith(":")])
            raise DataError(
                f"expected ids of these {len(among.train)} samples, or a rule ({', '.join(texts)}), got {text!r:.300}; "
                + close
            )
        return _looked_up(among, [text] if text in among.train.ids else ids, "ids")

    return Rule(text, chosen)


def _by_references(name: str, amount: str) -> Rule:
    read_amount(amount, rule=name)
    raise DataError(
        f"expected references to rank samples by, got the text {f'{name}:{amount}'!r} alone; "
        f"use obliviate.{name}({amount}, pool, task), or a folder"
    )


TEXTS: Final[dict[str, Callable[[str], Rule]]] = {
    "random:": _random,
    "class:": _class,
    "owner:": _owner,
    "where:": where,
    "mislabelled:": partial(_by_references, "mislabelled"),
    "memorised:": partial(_by_references, "memorised"),
    "@": _file,
}
"""Rules by how their text begins; what follows is the argument."""
