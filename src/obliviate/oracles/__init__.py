"""Published evidence: what reference and retrained models say, in one file, so that a method is judged in a minute."""

from obliviate.oracles.oracle import Oracle, build_oracle

__all__ = ["Oracle", "build_oracle"]
