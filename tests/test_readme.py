"""The README's example is run as it stands, on a user's own module and datasets."""

import os
import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

MY_PROJECT = """
import torch
from torch import nn
from torch.utils.data import Dataset

from obliviate.data.sources import embedded


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x):
        return self.layers(x)


class Images(Dataset):
    def __init__(self, samples):
        batch = samples.everything()
        self.x, self.y = batch.x, batch.y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], int(self.y[i])


data = embedded()
train_set = Images(data.train.select(data.train.ids[:300]))
test_set = Images(data.test.select(data.test.ids[:200]))
"""


def example() -> str:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


def test_the_example_has_ten_lines() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 10


def test_the_example_runs_on_a_users_own_module_and_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_project.py").write_text(MY_PROJECT, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_project", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # references are trained by a process a core
    names: dict[str, object] = {}
    quick = example().replace("epochs=20", "epochs=3").replace("models=16", "models=4")
    assert quick != example()
    exec(compile(quick, "README.md", "exec"), names)
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()  # the notes below the table left out
    assert [line.split()[0] for line in lines] == ["model", "original", "AMUN", "Retrain", "Retrain", "Retrain"]
    assert len(list((tmp_path / "references").rglob("*.logits.safetensors"))) == 4
    monkeypatch.delitem(sys.modules, "my_project", raising=False)
