"""The examples run, do what they say at a small size, and are shown on their pages as they are."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from obliviate.methods.amun import AMUN
from obliviate.methods.retrain import Retrain

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"


def load(name: str) -> ModuleType:
    """Import one example as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


def test_the_first_result_takes_fifteen_lines_and_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    source = (ROOT / "examples" / "first_result.py").read_text(encoding="utf-8")
    code = [line for line in source.splitlines()[1:] if line.strip() and not line.startswith(("import", "from"))]
    assert len(code) <= 15
    quick = source.replace("epochs=40", "epochs=5")
    assert quick != source
    exec(compile(quick, "first_result.py", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["original", "AMUN", "Retrain"]


def test_weights_from_elsewhere_are_adopted_and_audited_by_a_training_of_ones_own(tmp_path: Path) -> None:
    module = load("adopt")
    torch.manual_seed(0)
    batch = module.my_data()[0].everything()
    pairs = list(zip(batch.x, batch.y, strict=True))
    trained = module.my_training(module.build(), pairs, seed=0, device=torch.device("cpu"))
    state = {f"module.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"epoch": 20, "state_dict": state}, tmp_path / "theirs.pth")
    result = module.main(tmp_path / "references", tmp_path / "theirs.pth", references=4)
    assert [model.role for model in result.models] == ["original", "unlearned", "retrained", "retrained"]
    original, _, *retrained = result.models
    assert original.accuracy.forget.value > min(model.accuracy.forget.value for model in retrained)


def test_a_plain_loop_is_unlearned_and_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = load("plain_loop").main(tmp_path, epochs=5, references=4)
    assert [one.role for one in result.models] == ["original", "unlearned"] + ["retrained"] * 3
    original, forgot, *_ = result.models
    assert original.method == "given"
    assert forgot.accuracy.test.value > 80
    assert forgot.weights_sha256 != original.weights_sha256
    assert "AMUN" in capsys.readouterr().out


def test_a_plain_loop_fits_on_a_page() -> None:
    assert len((ROOT / "examples" / "plain_loop.py").read_text(encoding="utf-8").splitlines()) < 65


def test_an_estimator_forgets_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    found = load("scikit_learn").main(epochs=15)
    assert found["fit"][0] > 0.99
    assert found["unlearned"][1] > 0.85
    assert found["unlearned"][0] < found["fit"][0]
    assert "unlearned" in capsys.readouterr().out


@pytest.mark.filterwarnings("default")  # those of transformers are its own
def test_a_model_of_the_trainer_forgets(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    found = load("huggingface_trainer").main(rows=300, epochs=15)
    before, after = found["original"], found["unlearned"]
    assert after[0] - before[0] > 2 * abs(after[1] - before[1])  # the forgotten more than the retained
    assert after[2] < before[2] + 0.2  # unseen texts no worse


@pytest.fixture(scope="module")
def bias() -> ModuleType:
    return load("remove_bias")


def test_the_rule_finds_the_biased_images_and_no_other(bias: ModuleType) -> None:
    data = bias.ob.load_data("fashion_mnist_5k", train_size=500)
    plain = data.train.everything()
    assert not bias.has_patch(plain.x).any()
    batch = bias.biased(data.train, 7, 0.6, seed=0).everything()
    found = bias.has_patch(batch.x)
    assert (batch.y[found] == 7).all()
    assert int(found.sum()) == round(0.6 * int((plain.y == 7).sum()))
    assert ((batch.x != plain.x).flatten(1).any(1) == found).all()


def test_the_gap_between_groups_becomes_smaller(bias: ModuleType) -> None:
    found = bias.run(0, train_size=1000, epochs=7, methods=[AMUN(), Retrain()])
    before, amun, retrained = (found[name][0] for name in ("original", "amun", "retrain"))
    assert before.gap > 20  # the cue is learnt
    assert retrained.gap < before.gap - 10
    assert amun.others_patch > before.others_patch + 5  # above three standard errors of 2,250 test images
    assert amun.others_plain > before.others_plain - 5
    assert len(bias.table([found]).splitlines()) == 2 + len(found)


WAYS = ("original", "learn the new", "amun: forget", "amun: forget and learn at once", "retrain on what holds now")


def test_an_outdated_class_is_replaced_with_less_residue() -> None:
    module = load("replace_class")
    found = module.run(0, train_size=1200, epochs=8, methods=[AMUN()])
    original, plain, forgot, both, again = (found[name][0] for name in WAYS)
    assert original.residue > 80
    assert original.new < 15
    assert forgot.residue < original.residue - 50
    assert plain.new > 50
    assert both.new > 50
    assert both.residue < plain.residue - 5  # the standard error of 250 test images is 3
    assert again.residue < plain.residue - 10
    assert both.others > original.others - 5
    assert len(module.table([found]).splitlines()) == 2 + len(found)


@pytest.mark.slow
def test_an_outdated_class_is_replaced_with_less_residue_at_full_size() -> None:
    found = load("replace_class").run(1, methods=[AMUN()])
    _, plain, _, both, again = (found[name][0] for name in WAYS)
    assert both.residue < plain.residue - 10
    assert again.residue < both.residue + 3
    assert both.new > plain.new - 10


@pytest.mark.parametrize(
    ("page", "files"),
    [
        (
            "your-own-model.md",
            ["first_result.py", "adopt.py", "scikit_learn.py", "plain_loop.py", "huggingface_trainer.py"],
        ),
        ("remove-bias.md", ["remove_bias.py"]),
        ("replace-a-class.md", ["replace_class.py"]),
    ],
)
def test_a_page_shows_code_of_its_examples_as_it_is(page: str, files: list[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (TUTORIALS / page).read_text(encoding="utf-8"), re.M | re.S)
    shown = [block for block in blocks if not block.startswith(">>>")]
    sources = {one: (ROOT / "examples" / one).read_text(encoding="utf-8") for one in files}
    assert shown
    for block in shown:
        assert any(block in source for source in sources.values()), block
    for name, source in sources.items():
        assert any(block in source for block in shown), name
