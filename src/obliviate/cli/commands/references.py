"""`obliviate references`."""

from __future__ import annotations

import json
from typing import Annotated

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
    Trust,
    Workers,
)
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress


@app.command
def references(
    *,
    out: Out,
    references: References = 16,
    workers: Workers = None,
    executor: Executor = None,
    exchange: Exchange = None,
    keep_weights: Annotated[bool, Parameter(help="Whether to keep their weights, which only shadows need.")] = True,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Train the reference models of a folder ahead of an audit, or more of them, and tell what is there."""
    from obliviate.references.exchange import opened
    from obliviate.references.pool import PoolFacts, pools_in
    from obliviate.workspace import Workspace

    with compute.used(), progress(quiet=json_) as show_progress, opened(executor, exchange) as opened_executor:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        pool = workspace.references(references, workers=workers, executor=opened_executor, keep_weights=keep_weights)
    used = PoolFacts.read(pool.folder)
    pools = [
        {
            "fingerprint": pool_facts.fingerprint,
            "references": pool_facts.members,
            "with_weights": pool_facts.weights,
            "samples": pool_facts.samples,
            "megabytes": round(pool_facts.bytes / 1e6, 2),
            "used": pool_facts.fingerprint == pool.fingerprint,
            "differences": pool_facts.differences(vars(used)),
        }
        for pool_facts in pools_in(pool.folder.parent)
    ]
    facts = {"folder": str(out), "fingerprint": pool.fingerprint, "seconds": round(pool.seconds, 2), "pools": pools}
    if json_:
        print_line(json.dumps(facts))
        return
    for entry in pools:
        print_line(
            f"{entry['fingerprint']}: {entry['references']} references over {entry['samples']:,} samples, "
            f"{entry['with_weights']} with weights, {entry['megabytes']} MB"
            + ("" if entry["used"] else f"; not this folder's: {entry['differences']}")
        )
