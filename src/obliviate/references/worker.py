"""A local process that makes some models of a job, one after another.

python -m obliviate.references.worker FOLDER SHA256 PARENT MEMBER [MEMBER ...]
"""

from __future__ import annotations

import logging
import sys

from obliviate.references.jobs import make_elsewhere
from obliviate.references.processes import NOTE


def main() -> None:
    """Make the models named on the command line, and stop when the parent process is gone."""
    logging.basicConfig(format=f"{NOTE}%(message)s")
    folder, sha256, parent, *members = sys.argv[1:]
    for member in members:
        make_elsewhere(folder, sha256, int(member), int(parent))


if __name__ == "__main__":
    main()
