"""A local process that makes cells of a plan until none is missing.

python -m obliviate.plans.worker FOLDER SHA256 PARENT
"""

from __future__ import annotations

import logging
import sys

from obliviate.plans.work import work_elsewhere


def main() -> None:
    """Work on the plan that the command line names, and stop when the parent process is gone."""
    logging.basicConfig(format="note: %(message)s")
    folder, sha256, parent = sys.argv[1:]
    work_elsewhere(folder, sha256, parent=int(parent))


if __name__ == "__main__":
    main()
