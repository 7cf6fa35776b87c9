"""What is asked of a folder: a request is read, checked and kept before any work, or only shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from obliviate.data.lookup import Unknown
from obliviate.data.rules import Chosen, Forget
from obliviate.data.split import Split
from obliviate.methods.base import Method
from obliviate.requests import Parent, Request
from obliviate.task import Classification
from obliviate.workspace import forget as forgetting
from obliviate.workspace.contents import Contents
from obliviate.workspace.preview import preview as outlined

TEACHERS = 8
"""How many models a method that needs teachers learns from, unless told otherwise."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NewRequest:
    """A request as somebody asks it: ids, a rule, or its text, such as "random:SHARE" or "class:K" (docs/forget.md).

    `after` is the id of the unlearned model that the request begins from, or the beginning of its id; without one it is
    the first request. Rules choose among the samples that no earlier request was for; `with_copies` takes along what
    has the same input under another name. Names in a list or a text that the training set does not have are refused, or
    skipped with `unknown="skip"`; what became of each name is kept with the request.

    >>> NewRequest(forget="class:7", with_copies=True).after is None
    True
    """

    forget: Forget
    after: str | None = None
    with_copies: bool = False
    unknown: Unknown = "refuse"


@dataclass(frozen=True, eq=False)
class _Resolved:
    """A new request with its number, the model that it begins from, and the ids that were chosen."""

    number: int
    parent: Parent | None
    chosen: Chosen
    split: Split


def choose(contents: Contents, request: NewRequest) -> Split:
    """Fix what a request is for, and keep it; whoever calls this holds the folder (`Requests.attempt`).

    Raises DataError for ids that were forgotten before; WorkspaceError for a request that is kept already with other
    ids or after another model.
    """
    resolved = _resolve(contents, request)
    chosen, ids = resolved.chosen, resolved.split.forget.ids.tolist()
    contents.requests.ask(
        Request(resolved.number, chosen.rule, ids, resolved.parent, chosen.references, chosen.grouped, chosen.asked)
    )
    return resolved.split


def preview(
    contents: Contents,
    method: Method,
    request: NewRequest | int | None,
    *,
    retain: bool,
    teachers: int | None,
    tune: int,
) -> dict[str, Any]:
    """Tell what a method would be made to forget, and change nothing; raises what `choose` and `unlearn` raise."""
    if isinstance(request, NewRequest):
        resolved = _resolve(contents, request)
        number, chosen, split = resolved.number, resolved.chosen, resolved.split
    else:
        kept = contents.requests.numbered(request)
        number, split = kept.number, contents.split_of(kept.number)
        chosen = Chosen(split.forget.ids.tolist(), kept.full_rule, asked=kept.asked)
    elsewhere = contents.elsewhere(number, split)
    split = split if retain else split.without_retain()
    origin = contents.origin
    outline = outlined(
        chosen,
        split,
        elsewhere,
        contents.context(number).among,
        method,
        origin.task,
        origin.recipe,
        unseen=len(origin.data.test) - elsewhere.test,
        tune=tune,
        teachers=teachers_for(contents, method, teachers, tune=tune),
    )
    return {"folder": str(contents.folder), **outline}


def teachers_for(contents: Contents, method: Method, wanted: int | None, *, tune: int) -> int:
    """How many teachers there shall be: those asked for, or the usual number, where there is a use for them."""
    if "teachers" in method.needs:
        return TEACHERS if wanted is None else wanted
    return wanted or 0 if tune and isinstance(contents.origin.task, Classification) else 0


def _resolve(contents: Contents, request: NewRequest) -> _Resolved:
    number, parent = contents.requests.begins(request.after)
    context = replace(contents.context(number), unknown=request.unknown)
    chosen = forgetting.choose(request.forget, context, with_copies=request.with_copies)
    split = contents.split(number, chosen.ids)
    if number <= len(contents.requests.all):
        contents.requests.refuse_other(number, split.forget.ids.tolist())
    return _Resolved(number, parent, chosen, split)
