import pytest


@pytest.fixture(autouse=True)
def undrawn(without_plots: None) -> None:
    """The plots of pages are those of `tests/report`."""
