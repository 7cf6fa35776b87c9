"""The use cases, in memory: train, unlearn, train references, audit, and say what was found.

The names stand in `__init__.pyi`, and each is imported when it is first used: who trains a model does not wait for
what an audit needs.
"""

from obliviate._util.lazy import by_stub

__all__, __getattr__, __dir__ = by_stub(__name__, __file__)  # pyright: ignore[reportUnsupportedDunderAll]  # as the stub
