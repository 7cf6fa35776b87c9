"""How many samples a rule chooses, as a share of all or as a number."""

from __future__ import annotations

from obliviate.errors import DataError


def count_of(amount: float, samples: int, *, rule: str) -> int:
    """How many samples a share in (0, 1), rounded to the nearest, or a whole number below all of them is.

    >>> count_of(0.1, 50, rule="memorised"), count_of(7, 50, rule="memorised")
    (5, 7)
    """
    if isinstance(amount, int) and not isinstance(amount, bool):
        if not 0 < amount < samples:
            raise DataError(
                f"expected {rule} with a number of samples in 1 … {samples - 1}, or a share in (0, 1), got {amount}; "
                "change it"
            )
        return amount
    check_amount(amount, rule=rule)
    return max(1, round(amount * samples))


def check_amount(amount: float, *, rule: str) -> None:
    """Refuse what is neither a share in (0, 1) nor a whole number of samples above 0; raises DataError."""
    whole = isinstance(amount, int) and not isinstance(amount, bool)
    if not (amount > 0 if whole else 0 < amount < 1):
        raise DataError(
            f"expected {rule} with a share in (0, 1), or a whole number of samples above 0, got {amount}; "
            f"try {rule}:0.1"
        )


def read_amount(text: str, *, rule: str) -> float:
    """Read a share or a number of samples; raises DataError for anything else.

    >>> read_amount("0.1", rule="memorised"), read_amount("20", rule="memorised")
    (0.1, 20)
    """
    try:
        amount = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError as error:
        raise DataError(
            f"expected {rule}:SHARE with a share in (0, 1), or {rule}:N with a number of samples, got "
            f"{f'{rule}:{text}'!r}; try {rule}:0.1"
        ) from error
    check_amount(amount, rule=rule)
    return amount
