"""The part that a model plays in an audit; apart from the rest, so that who trains one loads no schema."""

from typing import Literal

Role = Literal["original", "retrained", "unlearned"]
