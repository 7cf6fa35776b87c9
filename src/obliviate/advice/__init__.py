"""Which method to try first for a request, by what has been measured on the grounds of docs/comparison.md."""

from obliviate.advice.cells import Cell, read_cells, write_cells
from obliviate.advice.ranking import Advice, Standing, advise

__all__ = ["Advice", "Cell", "Standing", "advise", "read_cells", "write_cells"]
