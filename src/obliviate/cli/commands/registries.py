"""`obliviate methods` and `obliviate attacks`: what there is to choose from."""

from __future__ import annotations

import json

from obliviate.cli.app import app
from obliviate.cli.arguments import Json
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.registries import print_attacks, print_methods


@app.command
def attacks(*, json_: Json = False) -> None:
    """List the attacks: source, needs, whether verdicts rest on them, default settings."""
    from obliviate.membership import registry
    from obliviate.membership.base import describe

    described = [describe(cls) for cls in registry().values()]
    if json_:
        print_line(json.dumps(described, indent=1))
        return
    print_attacks(described)


@app.command
def methods(*, json_: Json = False) -> None:
    """List the methods: source, needs, exact or approximate, default hyperparameters."""
    from obliviate.methods import registry
    from obliviate.methods.base import describe

    described = [describe(cls) for cls in registry().values()]
    if json_:
        print_line(json.dumps(described, indent=1))
        return
    print_methods(described)
