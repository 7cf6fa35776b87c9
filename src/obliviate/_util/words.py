"""Names in messages."""

from __future__ import annotations

from typing import Any


def shown(names: Any, most: int = 3) -> str:
    """Quote the first few of a sequence or an array of names for a message.

    >>> shown(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    text = ", ".join(repr(str(name)) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
