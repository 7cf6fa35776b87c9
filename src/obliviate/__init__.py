"""Make a trained PyTorch model forget chosen training samples, and show with honest statistics how well it did.

The public names stand in `__init__.pyi`, and nowhere else. Each is imported when it is first used, so that
`import obliviate` and the command line answer at once.
"""

from obliviate._util.lazy import by_stub

__version__ = "0.2.0"
__all__, __getattr__, _names = by_stub(__name__, __file__)  # pyright: ignore[reportUnsupportedDunderAll]  # as the stub


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
