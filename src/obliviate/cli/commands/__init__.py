"""The commands: each reads its arguments, calls the work, and prints what came of it."""

from obliviate.cli.app import app
from obliviate.cli.commands import (
    adopt,
    advise,
    audit,
    compare,
    demo,
    export,
    folder,
    inspect,
    oracle,
    plan,
    project,
    references,
    registries,
    run,
    serve,
    traces,
    train,
    unlearn,
)

__all__ = [
    "adopt",
    "advise",
    "app",
    "audit",
    "compare",
    "demo",
    "export",
    "folder",
    "inspect",
    "plan",
    "project",
    "references",
    "registries",
    "run",
    "serve",
    "traces",
    "train",
    "unlearn",
]
