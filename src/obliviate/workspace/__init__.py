"""One folder holds one story: data, recipe, forget set, models, references, results.

Every step keeps its outcome as a file and is skipped when the file is there, so an interrupted command is resumed by
running it again, and ends with the same weights.
"""

from obliviate.workspace.auditing import ReportSettings
from obliviate.workspace.folder import Workspace
from obliviate.workspace.origin import Canaries, Portion
from obliviate.workspace.report import write_report
from obliviate.workspace.requesting import NewRequest

__all__ = ["Canaries", "NewRequest", "Portion", "ReportSettings", "Workspace", "write_report"]
