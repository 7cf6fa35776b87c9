"""`obliviate unlearn`."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Executor, Json, Out, Pseudonyms, Trust, configure, share_of
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.unlearning import (
    print_asked,
    print_budget,
    print_effect,
    print_preview,
    print_tuning,
)
from obliviate.cli.progress import progress
from obliviate.errors import DataError, MethodError

if TYPE_CHECKING:
    from obliviate.workflow import TrainedModel
    from obliviate.workspace import Workspace


@app.command
def unlearn(
    method: Annotated[str, Parameter(help="Name of the method; see `obliviate methods`.")],
    *,
    out: Out,
    forget: Annotated[
        str | None,
        Parameter(
            help="What to forget: random:0.1, class:7 or class:NAME, owner:NAME,…, 'where:CONDITION', "
            "mislabelled:0.01, memorised:0.01, coins, noise, erased, id,id,…, or a list of ids or owners: @FILE, "
            "owner:@FILE, with :COLUMN behind a table (docs/forget.md). Asked once a request."
        ),
    ] = None,
    after: Annotated[
        str | None,
        Parameter(
            help="Begin a second or later request from the unlearned model with this id, or the beginning of it "
            "(`obliviate status` lists them); what was forgotten before stays out."
        ),
    ] = None,
    with_copies: Annotated[
        bool,
        Parameter(negative="", help="Forget training samples with the same input under other names as well."),
    ] = False,
    unknown: Annotated[
        Literal["refuse", "skip"],
        Parameter(
            help="What becomes of a list with names that the training set does not have: it is refused, or they are "
            "skipped; what became of each name is kept with the request."
        ),
    ] = "refuse",
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="A hyperparameter, as NAME=VALUE; may be repeated.")
    ] = None,
    retain: Annotated[bool, Parameter(help="Whether the method may use the retained samples.")] = True,
    teachers: Annotated[
        int | None,
        Parameter(
            help="Models that never_seen learns from, 8 if left out, and that --tune judges by, none if left out; "
            "trained first, each sample is unknown to half of them."
        ),
    ] = None,
    tune: Annotated[
        int,
        Parameter(
            help="Try up to this many settings (8 is good), and keep the outcome nearest to a model that never saw the "
            "samples, as --teachers or unseen samples tell; 0 takes the settings as they are."
        ),
    ] = 0,
    budget: Annotated[
        str | None,
        Parameter(
            help="What it may cost, as a share of a retraining (15%): the method is as long as that pays for, by what "
            "passes through the model in two short runs."
        ),
    ] = None,
    seed: Annotated[int | None, Parameter(help="Seed of the method; that of the folder if left out.")] = None,
    executor: Executor = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Show what would be forgotten and by which method, and change nothing.")
    ] = False,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Make the model of a folder forget by one method, and keep the outcome there."""
    from obliviate.methods import find
    from obliviate.references.executors.by_name import opened
    from obliviate.workspace import NewRequest, Workspace

    chosen = configure(find(method), set_ or [])
    share = None if budget is None else share_of(budget)
    if dry_run and share is not None:
        raise MethodError(
            "expected --budget or --dry-run, got both; what a method costs is known from two short runs of it only, "
            "leave out one"
        )
    if forget is None and with_copies:
        raise DataError("expected something to forget, to take copies of it along, got none; name it with --forget")
    with (
        compute.used(),
        progress(quiet=json_ or dry_run) as show_progress,
        opened(None if dry_run else executor) as opened_executor,
    ):
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        request: NewRequest | int | None = None if after is None else workspace.following(after)
        if forget is not None:
            request = NewRequest(forget=forget, after=after, with_copies=with_copies, unknown=unknown)
        if dry_run:
            outline = workspace.preview(chosen, request=request, retain=retain, teachers=teachers, tune=tune)
            if json_:
                print_line(json.dumps(outline, allow_nan=False))
            else:
                print_preview(outline)
            return
        unlearned = workspace.unlearn(
            chosen,
            request=request,
            seed=seed,
            retain=retain,
            teachers=teachers,
            tune=tune,
            budget=share,
            executor=opened_executor,
        )
        number = len(workspace.requests) if forget is None and after is None else workspace.following(after)
    if json_:
        print_line(json.dumps(_facts(workspace, number, unlearned), allow_nan=False))
        return
    again = f"--out {out}" + " --trust" * trust + (f" --pseudonyms {pseudonyms}" if pseudonyms else "")
    _print(workspace, number, unlearned, again)
    if share is not None:
        print_budget(share, unlearned.notes, names=[field.name for field in fields(chosen)])
    if unlearned.effect is not None:
        print_effect(unlearned.effect, tuned=unlearned.tuning is not None)


def _print(workspace: Workspace, number: int, unlearned: TrainedModel, again: str) -> None:
    """What the command says of an unlearned model to people, before its budget and its effect.

    `again` are the options by which the folder is opened again.
    """
    request = workspace.requests[number - 1]
    if request.asked:
        print_asked(request.asked)
    for note in workspace.elsewhere(number).notes:
        print_line(f"note: {note}")
    if unlearned.tuning is not None:
        print_tuning(unlearned.tuning)
    print_line(
        f"{unlearned.label}: done in {_seconds(unlearned)} s; forgot {len(request.ids):,} of "
        f"{len(workspace.data.train):,} samples ({request.full_rule}); kept as {unlearned.id}; "
        f"now `obliviate audit {again}`"
    )


def _seconds(unlearned: TrainedModel) -> float:
    return round(unlearned.seconds or 0.0, 2)


def _facts(workspace: Workspace, number: int, unlearned: TrainedModel) -> dict[str, Any]:
    """What the command says of an unlearned model as JSON."""
    request, elsewhere = workspace.requests[number - 1], workspace.elsewhere(number)
    facts = {
        "folder": str(workspace.folder),
        "model": unlearned.id,
        "method": unlearned.method,
        "request": number,
        "forget": len(request.ids),
        "seconds": _seconds(unlearned),
        "notes": dict(unlearned.notes),
        "effect": None if unlearned.effect is None else unlearned.effect.to_dict(),
        "tuning": None if unlearned.tuning is None else dict(unlearned.tuning),
        "copies": len(elsewhere.copies),
        "unseen": {"test": elsewhere.test, "holdout": elsewhere.holdout},
    }
    return facts | ({"asked": request.outcomes} if request.asked else {})
