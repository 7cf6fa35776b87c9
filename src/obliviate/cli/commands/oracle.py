"""`obliviate oracle` and `obliviate judge`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import (
    PLAIN,
    ComputeOptions,
    Executor,
    Json,
    Out,
    References,
    Request,
    Retrained,
    Trust,
    Workers,
    configure,
)
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress

Data = Annotated[
    str | None, Parameter(help="Where the data of the oracle are, if not where they were; as for `obliviate train`.")
]


@app.command
def oracle(
    path: Annotated[Path, Parameter(help="The new file, such as mine.safetensors.")],
    *,
    out: Out,
    references: References = 16,
    retrained: Retrained = 3,
    request: Request = None,
    half: Annotated[
        bool, Parameter(negative="", help="Keep outputs in half precision: half the file, figures of three digits.")
    ] = False,
    workers: Workers = None,
    executor: Executor = None,
    trust: Trust = False,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Write what the references and the retrained models of a request say into one file, to judge methods by."""
    from obliviate.oracles import build_oracle
    from obliviate.references.executors.by_name import opened
    from obliviate.workspace import Workspace

    with compute.used(), progress(quiet=json_) as show_progress, opened(executor) as opened_executor:
        workspace = Workspace.open(out, progress=show_progress, trust=trust)
        built = build_oracle(
            path,
            workspace,
            request=request,
            references=references,
            retrained=retrained,
            half=half,
            workers=workers,
            executor=opened_executor,
        )
    if json_:
        facts = {
            "path": str(path),
            "bytes": path.stat().st_size,
            "references": len(built.pool),
            "retrained": len(built.retrained),
            "forget": len(built.split.forget),
            "fingerprint": built.pool.fingerprint,
        }
        print_line(json.dumps(facts))
    else:
        print_line(f"{path}: {path.stat().st_size:,} bytes; {built!r}; now `obliviate judge METHOD --oracle {path}`")


@app.command
def judge(
    method: Annotated[str, Parameter(help="Name of the method; see `obliviate methods`.")],
    *,
    oracle: Annotated[Path, Parameter(help="A file that `obliviate oracle` wrote (docs/oracles.md).")],
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="A hyperparameter, as NAME=VALUE; may be repeated.")
    ] = None,
    retain: Annotated[bool, Parameter(help="Whether the method may use the retained samples.")] = True,
    seed: Annotated[int | None, Parameter(help="Seed of the method; that of the oracle if left out.")] = None,
    margin: Annotated[
        float | None,
        Parameter(help="Largest difference of AUC that counts as none, in points; what the data resolve if left out."),
    ] = None,
    data: Data = None,
    report: Annotated[Path | None, Parameter(help="Also write the report of the audit to this file (.html).")] = None,
    trust: Trust = False,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Judge a method by an oracle: it unlearns, and its model is audited; nothing else is trained."""
    from obliviate.audit.inputs import AuditSettings
    from obliviate.methods import find
    from obliviate.oracles import Oracle
    from obliviate.workflow import save_report

    began = time.monotonic()
    chosen = configure(find(method), set_ or [])
    settings = AuditSettings(margin=None if margin is None else margin / 100)
    with compute.used(), progress(quiet=json_) as show_progress:
        opened = Oracle.load(oracle, data=data, trust=trust)
        result = opened.judge(chosen, seed=seed, retain=retain, settings=settings, progress=show_progress)
    if report is not None:
        save_report(
            report, opened.experiment, result, opened.split, opened.pool,
            data_name=opened.data_name, forget_rule=opened.rule,
        )  # fmt: skip
    if json_:
        print_line(json.dumps(result.findings.model_dump(mode="json"), allow_nan=False))
        return
    print_line(str(result))
    print_line(f"Judged in {time.monotonic() - began:.0f} s by {opened!r}.")
