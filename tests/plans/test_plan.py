"""Plans as they are written: what is refused, with the line and the field, and what is made of the rest."""

from pathlib import Path
from typing import Any

import pytest

from obliviate.errors import PlanError
from obliviate.methods.amun import AMUN
from obliviate.methods.nabla_tau import NablaTau
from obliviate.plans import Plan

PLAN = """\
seeds = [0, 1]  # of trainings
references = 8
retrained = 2

[data]
source = "digits"
train_size = 200

[recipe]
epochs = 3
options = {hidden = [16]}

[audit]
margin = 5

[[forget]]
rule = "random:0.1"
draws = 2

[[method]]
name = "amun"
epochs = 4

[[method]]
name = "fine_tune"
budget = "15%"
label = "tuning finely"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_is_what_is_written(tmp_path: Path) -> None:
    plan = Plan.read(written(tmp_path, PLAN))
    assert (plan.source, plan.train_size, plan.seeds, plan.references, plan.retrained) == ("digits", 200, (0, 1), 8, 2)
    assert plan.recipe == {"epochs": 3, "options": {"hidden": [16]}}
    assert [(sets.rule, sets.draws) for sets in plan.forget] == [("random:0.1", 2)]
    assert [trial.label for trial in plan.trials] == ["amun", "tuning finely"]
    assert plan.trials[0].method == AMUN(epochs=4)
    assert plan.trials[1].budget == 0.15
    assert plan.audit.margin == 0.05
    assert plan.runs == 8


def test_a_path_is_taken_from_where_the_plan_lies(tmp_path: Path) -> None:
    plan = Plan.read(written(tmp_path, PLAN.replace('"digits"', '"rows.npz"')))
    assert plan.source == str(tmp_path / "rows.npz")


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("seeds = [0, 1]", "seeds = [0, 0]", 1, "expected seeds to be a list of whole numbers, each once"),
        ("seeds = [0, 1]", "seeds = [true]", 1, "expected seeds to be a list of whole numbers, each once"),
        ("references = 8", "references = 7", 2, "an even number of reference models"),
        ("references = 8", "references = 8.0", 2, "expected references to be a whole number, got 8.0"),
        ("retrained = 2", "retraind = 2", 3, "expected fields of a plan among seeds"),
        ("train_size = 200", "train_size = 0", 7, "expected data.train_size to be a whole number of 1 or more"),
        ("epochs = 3", "epochs = -3", 10, "recipe.epochs: expected epochs"),
        ("epochs = 3", 'optimizer = "sdg"', 10, "recipe.optimizer: expected "),
        ("margin = 5", "margin = 90", 14, "audit.margin: expected a margin above 0"),
        ("margin = 5", 'attacks = ["rnia"]', 14, "audit.attacks: expected an attack of"),
        ('rule = "random:0.1"', "rule = 0.1", 17, "expected forget 1.rule to be a text"),
        ('rule = "random:0.1"', 'rule = "class:3"', 18, "expected forget 1.draws to be 1 for a rule that"),
        ("draws = 2", "draws = 0", 18, "expected forget 1.draws to be from 1 to"),
        ('name = "amun"', 'name = "amum"', 21, "method 1.name: expected a method of"),
        ("epochs = 4", 'epochs = "many"', 22, "method 1.epochs: expected"),
        ("epochs = 4", "epoch = 4", 22, "method 1.epoch: expected a hyperparameter of amun"),
        ("epochs = 4", "tune = -1", 22, "expected method 1.tune to be 0 or more trials"),
        ("epochs = 4", "teachers = 8", 22, "expected method 1.teachers to be of a method that learns from teachers"),
        ('budget = "15%"', 'budget = "150%"', 26, "expected method 2.budget to be a share of a retraining"),
        ('label = "tuning finely"', 'label = "amun"', 25, "expected methods with names of their own"),
        ('name = "fine_tune"', 'name = "retrain"', 25, "expected method 2.name to be a method beside retraining"),
        ("draws = 2", "steps = 0", 18, "expected forget 1.steps to be from 1 to 100"),
        ("draws = 2", "classes = [1, 1]", 18, "expected forget 1.classes to be a list of numbers of classes, each"),
        ('rule = "random:0.1"', 'rule = "random:x"\nclasses = [1]', 17, "expected forget 1.rule to be random:SHARE"),
        ('rule = "random:0.1"\ndraws = 2', 'rule = "wrong_labels"', 17, "expected forget 1.rule to be another rule"),
        ("train_size = 200", "wrong_labels = 1", 7, "expected data.wrong_labels to be a share of the labels in (0, 1)"),
        ("train_size = 200", "wrong_classes = [1]", 7, "expected data.wrong_classes to be left out without"),
        ("epochs = 4", "unlabelled = 0.5", 22, "expected method 1.unlabelled to be left out for a method that"),
        ("epochs = 4", 'paper = "text"', 22, "method 1.paper: expected true, got 'text'"),
        ('label = "tuning finely"', "paper = true", 27, "expected a method with a recipe of its paper, got fine_tune"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, before: str, after: str, line: int, words: str) -> None:
    assert before in PLAN
    with pytest.raises(PlanError) as refused:
        Plan.read(written(tmp_path, PLAN.replace(before, after, 1)))
    assert f"plan.toml, line {line}" in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds = [0", "expected TOML, got"),
        ("seeds = [0]", r"expected a table \[data\], got none"),
        ('data = "digits"', r"expected a table \[data\], got 'digits'"),
        ('[data]\nsource = "digits"', r"expected one \[\[forget\]\] or more, got none"),
        ('[data]\n[[forget]]\nrule="class:1"\n[[method]]\nname="ssd"', "expected data.source to be a shipped set or a"),
        ("[" * 5000, "expected TOML, got"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Plan.read(written(tmp_path, text))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path, Path("a\0b")):
        with pytest.raises(PlanError, match="expected a file of TOML"):
            Plan.read(path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = '\xe4'")
    with pytest.raises(PlanError, match="expected text in UTF-8"):
        Plan.read(path)


def test_code_that_a_plan_names_is_run_only_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, PLAN.replace("epochs = 3", 'model = "net:make"'))
    with pytest.raises(PlanError, match=r"got 'net:make', which .*line 10 names: running the plan runs that code"):
        Plan.read(path)
    assert Plan.read(path, trust=True).recipe["model"] == "net:make"
    monkeypatch.setenv("OBLIVIATE_TRUST", "net:make")
    assert Plan.read(path).recipe["model"] == "net:make"


def test_a_method_of_ones_own_is_imported_only_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "obliviate.methods.amun:AMUN"
    path = written(tmp_path, PLAN.replace('name = "amun"', f'name = "{own}"'))
    with pytest.raises(PlanError, match=rf"expected a method of this package, got '{own}', which .*line 21 names"):
        Plan.read(path)
    assert Plan.read(path, trust=True).trials[0].method == AMUN(epochs=4)
    monkeypatch.setenv("OBLIVIATE_TRUST", own)
    assert Plan.read(path).trials[0].label == "amun"
    for name, words in (("nowhere:AMUN", "an importable method"), ("math:pi", "the class of a method")):
        with pytest.raises(PlanError, match=f"line 21, method 1.name: expected {words}"):
            Plan.read(written(tmp_path, PLAN.replace('name = "amun"', f'name = "{name}"')), trust=True)


def test_a_papers_recipe_is_taken_by_name_and_settings_go_before_it() -> None:
    values: dict[str, Any] = {"data": {"source": "digits"}, "forget": [{"rule": "class:1"}]}
    methods = [
        {"name": "amun", "paper": True, "learning_rate": 0.03},
        {"name": "nabla_tau", "paper": "text", "alpha": 0.3},
        {"name": "nabla_tau", "paper": False, "label": "ours"},
    ]
    plan = Plan.of(values | {"method": methods})
    assert [trial.method for trial in plan.trials] == [
        AMUN.paper(learning_rate=0.03),
        NablaTau.paper(text=True, alpha=0.3),
        NablaTau(),
    ]


def test_methods_of_one_name_are_told_apart_by_their_settings() -> None:
    values: dict[str, Any] = {"data": {"source": "digits"}, "forget": [{"rule": "class:1"}]}
    methods = [{"name": "fine_tune", "epochs": 1}, {"name": "fine_tune", "epochs": 2, "retain": True}]
    plan = Plan.of(values | {"method": methods})
    assert [trial.label for trial in plan.trials] == ["fine_tune (epochs=1)", "fine_tune (epochs=2, retain=True)"]
    with pytest.raises(PlanError, match="expected methods with names of their own, got 'fine_tune"):
        Plan.of(values | {"method": [methods[0], methods[0]]})
