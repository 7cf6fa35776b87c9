"""`obliviate audit`."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import (
    PLAIN,
    ComputeOptions,
    Exchange,
    Executor,
    Json,
    Out,
    Pseudonyms,
    References,
    Request,
    Retrained,
    Trust,
    Workers,
)
from obliviate.cli.printing.audits import print_audit, print_record
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress


@app.command
def audit(
    *,
    out: Out,
    references: References = 16,
    retrained: Retrained = 3,
    request: Request = None,
    margin: Annotated[
        float | None,
        Parameter(help="Largest difference of AUC that counts as none, in points; what the data resolve if left out."),
    ] = None,
    utility_margin: Annotated[
        float, Parameter(help="Largest loss of accuracy, recall and their like that is allowed, in points.")
    ] = 3.0,
    form: Annotated[
        Literal["softmax", "taylor"], Parameter(help="What the attack RMIA reads probabilities from logits by.")
    ] = "softmax",
    variance: Annotated[
        Literal["auto", "per_sample", "pooled", "shrunk"],
        Parameter(help="Where the attack LiRA takes a sample's variance from; auto is pooled below 64 references."),
    ] = "auto",
    attack: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="Add the attack of this name (`obliviate attacks`); may be given several times."),
    ] = (),
    cheap_attacks: Annotated[
        bool, Parameter(negative="", help="Add the cheap attacks on one model that published tables show.")
    ] = False,
    shadows: Annotated[
        bool,
        Parameter(
            negative="",
            help="Attack by U-LiRA too: every reference forgets by the method of every unlearned model (dear).",
        ),
    ] = False,
    pictures: Annotated[
        bool, Parameter(help="Whether the report shows the most exposed forget samples, where they are images.")
    ] = True,
    workers: Workers = None,
    executor: Executor = None,
    exchange: Exchange = None,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Audit every model of a request against retrained ones; what is missing for that is trained first."""
    from obliviate.audit.inputs import AuditSettings
    from obliviate.membership import find, usual
    from obliviate.references.exchange import opened
    from obliviate.results.record import RecordAudit
    from obliviate.workspace import ReportSettings, Workspace

    settings = AuditSettings(
        margin=None if margin is None else margin / 100,
        utility_margin=utility_margin / 100,
        attacks=(*usual(form=form, variance=variance), *(find(name)() for name in attack)),
        cheap_attacks=cheap_attacks,
    )
    with compute.used(), progress(quiet=json_) as show_progress, opened(executor, exchange) as opened_executor:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        place = workspace.place(request)
        evidence = {
            "references": references,
            "retrained": retrained,
            "request": request,
            "settings": settings,
            "shadows": shadows,
            "workers": workers,
            "executor": opened_executor,
        }
        if len(workspace.split_of(request).forget) == 1:
            results = workspace.audit_record(**evidence)
        else:
            results = workspace.audit(**evidence, report=ReportSettings(pictures=pictures))
    if json_:
        print_line(json.dumps(results.to_dict(), allow_nan=False))
    elif isinstance(results, RecordAudit):
        print_record(results, place.report)
    else:
        print_audit(results, place.report)
