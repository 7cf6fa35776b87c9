"""Whether the tests run with the versions that the project is tested with.

With another torch the same seed trains another model, so that what holds of a model, and not of every model, is
asserted with the tested one alone.
"""

import re
from pathlib import Path

import torch

PINS = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8")
PINNED = re.search(r"^torch==(\S+)$", PINS, re.M)
assert PINNED is not None
TESTED = torch.__version__.split("+")[0] == PINNED[1]
