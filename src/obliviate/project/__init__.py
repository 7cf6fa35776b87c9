"""A project: what is trained, how it forgets and what is promised, in `obliviate.toml`; its ledger and certificates.

Requests are submitted, looked up and verified without torch; the work itself is done by `obliviate.worker`.
"""

from obliviate.project.config import Config
from obliviate.project.project import Project

__all__ = ["Config", "Project"]
