"""`obliviate adopt`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from obliviate._util.files import LOG
from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Json, Out, Seed, Trust
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress
from obliviate.cli.recipes import FASHION, USUAL, DataOptions, RecipeOptions
from obliviate.errors import RecipeError

if TYPE_CHECKING:
    from obliviate.data.sources import Data
    from obliviate.training.recipe import Recipe


@app.command
def adopt(
    weights: Annotated[
        Path,
        Parameter(
            help="Weights that were trained elsewhere: a .pth, .pt or .ckpt file with a state dict, .safetensors, or "
            "the folder of a Hugging Face Trainer."
        ),
    ],
    /,
    *,
    out: Out,
    data: DataOptions = FASHION,
    recipe: RecipeOptions = USUAL,
    seed: Seed = 0,
    trust: Trust = False,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Begin a folder with a model that was trained elsewhere, in place of training one there.

    Audits train models like it: they need --recipe, options that say the same, or --train-function.
    """
    from obliviate.workspace import Portion, Workspace

    make = recipe.maker(trust=trust, unknown=True)

    read: list[Data] = []

    def making(loaded: Data) -> Recipe:
        read.append(loaded)
        return make(loaded)

    with compute.used(), progress(quiet=json_) as show_progress:
        try:
            workspace = Workspace.adopt(
                out,
                weights,
                source=data.data,
                recipe=making,
                seed=seed,
                progress=show_progress,
                portion=Portion(train_size=data.train_size, holdout_size=data.holdout_size),
            )
        except RecipeError:
            for note in (note for data_read in read for note in data_read.notes):
                LOG.warning("%s", note)  # how the data were read may be why a model does not take them
            raise
        notes = workspace.train().notes
    trainable = workspace.recipe.trainable
    if json_:
        facts = {"folder": str(out), "train": len(workspace.data.train), "recipe": trainable, "notes": dict(notes)}
        print_line(json.dumps(facts))
        return
    print_line(workspace.data.describe())
    for note in workspace.data.notes:
        print_line(f"note: {note}")
    unseen = f" and {notes['knows_unseen']:.1f} % of unseen ones" if "knows_unseen" in notes else ""
    print_line(
        f"Adopted {weights} into {out}; it gets {notes['knows_train']:.1f} % of {len(workspace.data.train):,} training "
        f"samples right{unseen}"
    )
    if not trainable:
        print_line(
            "note: how it was trained is not known: methods that need no recipe work (`obliviate methods`), references "
            "and audits do not; adopt it in a new folder with --recipe or --train-function for these"
        )
