"""`obliviate train`."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Json, Out, Pseudonyms, Seed, Trust
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress
from obliviate.cli.recipes import FASHION, USUAL, DataOptions, RecipeOptions


@app.command
def train(
    *,
    out: Out,
    data: DataOptions = FASHION,
    recipe: RecipeOptions = USUAL,
    coins: Annotated[
        int | None,
        Parameter(
            help="Toss a fair coin for this many training samples and leave the tails out, for an exact test: "
            "`unlearn --forget coins` then forgets the heads."
        ),
    ] = None,
    noise: Annotated[
        int | None,
        Parameter(
            help="Add noise to this many training samples, for an exact test of gradients: `unlearn --forget noise` "
            "then forgets them."
        ),
    ] = None,
    noise_scale: Annotated[
        float | None, Parameter(help="Standard deviation of the noise, in units of the inputs; 0.1 if left out.")
    ] = None,
    seed: Seed = 0,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Train the original model and keep it in a folder, ready to be unlearned and audited."""
    from obliviate.workspace import Canaries, Portion, Workspace

    with compute.used(), progress(quiet=json_) as show_progress:
        workspace = Workspace.create(
            out,
            source=data.data,
            recipe=recipe.maker(trust=trust),
            seed=seed,
            progress=show_progress,
            portion=Portion(train_size=data.train_size, holdout_size=data.holdout_size),
            canaries=Canaries(coins=coins, noise=noise, noise_scale=noise_scale),
            pseudonyms=pseudonyms,
        )
        if not json_:
            print_line(workspace.data.describe())
        trained = workspace.train()
    facts = {
        "folder": str(out),
        "train": len(workspace.data.train),
        "seconds": round(trained.seconds or 0.0, 2),
        "notes": list(workspace.data.notes),
    }
    if json_:
        print_line(json.dumps(facts))
        return
    for note in workspace.data.notes:
        print_line(f"note: {note}")
    print_line(f"Trained on {facts['train']:,} samples in {facts['seconds']} s: {out}")
