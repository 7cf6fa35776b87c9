"""What `methods` and `attacks` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from obliviate.cli.printing.console import WIDEST, new_console


def print_methods(described: Sequence[Mapping[str, Any]]) -> None:
    """Print what `methods.base.describe` says of each method, as wide as the terminal at most."""
    from rich.padding import Padding
    from rich.text import Text

    console = new_console()
    console.width = min(console.width, WIDEST)
    for method in described:
        needs = ", ".join(method["needs"]) or "nothing but the forget set"
        needs += "; serves every task" if len(method["tasks"]) > 1 else f"; serves {method['tasks'][0]}"
        heading = Text.assemble(
            (method["name"], "bold"), f"   {'exact' if method['exact'] else 'approximate'}; needs {needs}"
        )
        console.print(heading)
        for text in (Text(method["summary"]), Text(method["source"], "dim"), Text(_defaults(method))):
            if text:
                console.print(Padding(text, (0, 0, 0, 4), expand=False))
        console.print()


def print_attacks(described: Sequence[Mapping[str, Any]]) -> None:
    """Print what `membership.base.describe` says of each attack, as wide as the terminal at most."""
    from rich.padding import Padding
    from rich.text import Text

    uses = {
        "verdict": "verdicts rest on it",
        "figure": "shown beside verdicts",
        "cheap": "a cheap look at one model, with --cheap-attacks",
    }
    console = new_console()
    console.width = min(console.width, WIDEST)
    for attack in described:
        needs = ", ".join(attack["needs"]) or "nothing but the model's outputs"
        console.print(Text.assemble((attack["name"], "bold"), f"   {uses[attack['use']]}; needs {needs}"))
        defaults = ", ".join(f"{name}={value}" for name, value in attack["defaults"].items())
        for text in (Text(attack["summary"]), Text(attack["source"], "dim"), Text(defaults)):
            if text:
                console.print(Padding(text, (0, 0, 0, 4), expand=False))
        console.print()


def _defaults(described: Mapping[str, Any]) -> str:
    """Default hyperparameters as one text, with what becomes of those that are None."""
    cases = described["when_none"]
    parts = []
    for name, value in described["defaults"].items():
        chosen = [(case, values[name]) for case, values in cases.items() if name in values]
        choices = ", ".join(str(choice) if case == "always" else f"{choice} {case}" for case, choice in chosen)
        parts.append(f"{name}={value}" + (f" ({choices})" if choices else ""))
    return ", ".join(parts)
