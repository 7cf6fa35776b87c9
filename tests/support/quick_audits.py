"""What makes audits quick where nobody looks at what takes their time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from obliviate.report import html

FEW_PERMUTATIONS: Final = "from obliviate.audit import two_sample\n\ntwo_sample.PERMUTATIONS = (1, 1)\n"
"""Code that a process of its own runs first; in that of the tests the fixture of this name does the same."""


@contextmanager
def undrawn() -> Iterator[None]:
    """Reports without their plots, which take most of the time of a page."""
    with pytest.MonkeyPatch.context() as patch:
        for plot in ("roc_plot", "ft_auc_plot", "cost_plot"):
            patch.setattr(html, plot, lambda results, narrow: "<svg></svg>")
        patch.setattr(html, "margin_plots", lambda results: [])
        yield
