from pathlib import Path

import pytest
import torch
from torch import nn

from obliviate.data.sources import load_data
from obliviate.task import CausalLM, Classification, MultiLabel, Regression, task_of


def described(folder: Path, rows: str, settings: str) -> Path:
    (folder / "mine.csv").write_text(rows, encoding="utf-8")
    (folder / "data.toml").write_text(f'path = "mine.csv"\n{settings}', encoding="utf-8")
    return folder


def test_images_may_be_perturbed_everywhere():
    assert task_of(load_data("fashion_mnist_5k")) == Classification(classes=10)


def test_classes_have_the_names_that_the_data_give_them(tmp_path: Path):
    rows = "\n".join(f"{age},{('no', 'yes')[age // 3 % 2]}" for age in range(40))
    tasks = [
        task_of(load_data("fashion_mnist_5k")),
        task_of(load_data(described(tmp_path, f"age,bought\n{rows}\n", "target = 'bought'\n"))),
    ]
    named = [task.class_name(1) for task in tasks if isinstance(task, Classification)]
    assert named == ["trouser", "yes"]
    digits = task_of(load_data("digits"))
    assert isinstance(digits, Classification)
    assert digits.class_name(1) == "1"


def test_several_labels_and_numbers_have_tasks_of_their_own():
    assert task_of(load_data("fashion_pairs")) == MultiLabel(labels=10)
    assert task_of(load_data("diabetes")) == Regression(tolerance=0.5)


def test_of_a_table_only_numbers_may_be_perturbed_in_the_range_of_the_training_rows(tmp_path: Path):
    rows = "\n".join(f"{age},{('Oslo', 'Rome')[age % 2]},{('no', 'yes')[age // 3 % 2]}" for age in range(40))
    data = load_data(described(tmp_path, f"age,town,bought\n{rows}\n", 'target = "bought"\n'))
    assert data.features is not None
    space = task_of(data).space(nn.Linear(3, 2))
    assert space is not None
    assert space.free is not None
    assert dict(zip(data.features.names, space.free.tolist(), strict=True)) == {
        "age": True,
        "town=Oslo": False,
        "town=Rome": False,
    }
    age = data.features.names.index("age")
    ages = data.train.everything().x[:, age]
    assert isinstance(space.low, torch.Tensor)
    assert isinstance(space.high, torch.Tensor)
    assert float(space.low[age]) == pytest.approx(float(ages.min()))
    assert float(space.high[age]) == pytest.approx(float(ages.max()))


def test_texts_are_perturbed_in_their_embeddings(tmp_path: Path):
    rows = "\n".join(f"word{i % 7} word{i % 5},{('a', 'b')[i % 2]}" for i in range(30))
    data = load_data(described(tmp_path, f"words,label\n{rows}\n", 'target = "label"\ntext = "words"\nlength = 4\n'))
    assert task_of(data) == Classification(classes=2, input_range=None, tokens=True)


def test_plain_texts_are_for_a_language_model(tmp_path: Path):
    (tmp_path / "input.txt").write_text("to be or not to be, that is the question. " * 60, encoding="utf-8")
    data = load_data(tmp_path)
    assert task_of(data) == CausalLM(tokens=data.classes)
