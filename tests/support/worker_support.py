"""A project that tests of the worker and of the command line begin."""

import shutil
from pathlib import Path

from obliviate.project import Project
from obliviate.worker import index

TOML = """\
[data]
source = "rows.npz"
[model]
name = "mlp"
options = {{ features = 6, classes = 3, hidden = [8] }}
[recipe]
epochs = 3
batch_size = 16
precision = "float32"
[method]
try = [{methods}]
[method.gradient_ascent]
learning_rate = 0.01
epochs = 1
[audit]
references = {references}
retrained = 2
workers = 0
[policy]
{policy}
batch = {batch}
attempts = 1000
[ledger]
url = "{url}"
"""


def begin(
    folder: Path,
    rows: Path,
    *,
    methods: str = '"gradient_ascent"',
    policy: str = "",
    batch: int = 100,
    references: int = 4,
    url: str = "sqlite",
) -> Project:
    """A project in a folder, with its keys, its ledger and its samples."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(rows, folder / "rows.npz")
    text = TOML.format(methods=methods, policy=policy, batch=batch, references=references, url=url)
    if "gradient_ascent" not in methods:
        text = text.replace("[method.gradient_ascent]\nlearning_rate = 0.01\nepochs = 1\n", "")
    (folder / "obliviate.toml").write_text(text, encoding="utf-8")
    project = Project.create(folder)
    index(project)
    return project
