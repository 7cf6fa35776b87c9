"""MixUnlearn and the parts that it alone has: views of the inputs, neighbours, and the generator of masks."""

from obliviate.methods.mixunlearn.method import MixUnlearn

__all__ = ["MixUnlearn"]
