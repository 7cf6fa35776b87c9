"""`obliviate export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Pseudonyms, Trust
from obliviate.cli.printing.console import print_line


@app.command
def export(
    folder: Annotated[Path, Parameter(help="The folder of the model.")],
    model: Annotated[
        str, Parameter(help="Id of the model, or the beginning of it: original, or one that `obliviate status` lists.")
    ],
    path: Annotated[Path, Parameter(help="The new file: .safetensors, or .pt or .pth for a state dict.")],
    /,
    *,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
) -> None:
    """Write the weights of a model under their plain names, for PyTorch without this package."""
    from obliviate.workspace import Workspace

    print_line(f"Wrote {Workspace.open(folder, trust=trust, pseudonyms=pseudonyms).export(model, path)}")
