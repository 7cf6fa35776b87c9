"""Several audits together: what methods come to over training seeds and forget sets, as a table and as a picture."""

from obliviate.comparison.figures import Compared, Comparison, Figure, Outcome, combined
from obliviate.comparison.folders import compare

__all__ = ["Compared", "Comparison", "Figure", "Outcome", "combined", "compare"]
