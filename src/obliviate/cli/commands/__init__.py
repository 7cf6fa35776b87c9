"""The commands: each reads its arguments, calls the work, and prints what came of it."""

from obliviate.cli.app import app
from obliviate.cli.commands import (
    audit,
    compare,
    demo,
    folder,
    inspect,
    references,
    registries,
    train,
    unlearn,
)

__all__ = ["app", "audit", "compare", "demo", "folder", "inspect", "references", "registries", "train", "unlearn"]
