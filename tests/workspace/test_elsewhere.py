"""What a request does not reach is told before and after: copies under other names, and unseen rows of its people."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from obliviate.cli import main
from obliviate.data.samples import Samples
from obliviate.errors import AuditError
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.training.recipe import Recipe
from obliviate.workspace import NewRequest, Workspace
from user_files import write_rows

ASCENT = GradientAscent(learning_rate=0.01)


@pytest.fixture
def begin(tiny: Samples, tiny_recipe: Recipe, tmp_path: Path) -> Callable[..., Workspace]:
    """40 rows of ten people a0 … a9; s10 and s20 are copies of s00; of the 20 test rows 3 are a1's and 1 is a2's."""

    def begin(**changed: np.ndarray) -> Workspace:
        x = tiny.everything().x.numpy()[:40].copy()
        x[[10, 20]] = x[0]
        x[31] = x[2]
        owners = {
            "train_owner": np.array([f"a{i % 10}" for i in range(40)]),
            "test_owner": np.array(["a1", "a1", "b", "a1", "a2", *["b"] * 15]),
        }
        rows = write_rows(tmp_path / "rows.npz", tiny, **{"train_x": x} | owners | changed)
        return Workspace.create(tmp_path / "run", source=str(rows), recipe=tiny_recipe, seed=0)

    return begin


def test_copies_under_other_names_are_told_and_taken_along(begin: Callable[..., Workspace]):
    work = begin(train_x=distinct(40, copies={10: 0}))  # one pair in 40: no more than chance may be
    outline = work.preview(ASCENT, request=NewRequest(forget=["s00", "s01"]))
    assert outline["copies"] == ["s10"]
    assert outline["notes"] == [
        "1 copy of these samples stays trained on under another name; --with-copies takes it along"
    ]
    taken = work.preview(ASCENT, request=NewRequest(forget=["s00", "s01"], with_copies=True))
    assert (taken["ids"], taken["copies"], taken["notes"]) == (["s00", "s01", "s10"], [], [])
    assert taken["rule"] == "ids, with 1 copy"
    unlearned = work.unlearn(ASCENT, request=NewRequest(forget=["s00", "s01"]))
    assert unlearned.notes["copies_retained"] == 1
    assert work.models()[1].notes["copies_retained"] == 1  # the manifest has it
    assert work.elsewhere().copies.tolist() == ["s10"]


def distinct(n: int, *, copies: dict[int, int]) -> np.ndarray:
    x = np.random.default_rng(1).random((n, 6), dtype=np.float32)
    for place, original in copies.items():
        x[place] = x[original]
    return x


def test_copies_come_along_with_every_rule(begin: Callable[..., Workspace]):
    work = begin()
    split = work.choose("owner:a0", with_copies=True)
    assert split.forget.ids.tolist() == ["s00", "s10", "s20", "s30"]
    assert split.copies.tolist() == []
    assert work.rule == "owner a0"


def test_equal_inputs_are_no_sign_of_copies_where_they_are_common(begin: Callable[..., Workspace]):
    assert begin().preview(ASCENT, request=NewRequest(forget=["s00"]))["notes"] == [
        "2 retained samples have the input of a sample to forget, which may be chance: equal inputs are common in "
        "these data; --with-copies takes them along"
    ]


def test_unseen_rows_of_forgotten_people_are_told_and_left_out_of_the_audit(begin: Callable[..., Workspace]):
    work = begin(train_x=distinct(40, copies={}))
    outline = work.preview(ASCENT, request=NewRequest(forget="owner:a1"))
    assert outline["unseen"] == {"test": 3, "holdout": 0}
    expected = "4 samples to forget; 3 more of the same owners' lie in the test set, never trained on, and left out of "
    assert outline["notes"] == [expected + "the audit"]
    assert (
        work.preview(ASCENT, request=NewRequest(forget=["s01", "s11", "s21"]))["unseen"]["test"] == 0
    )  # one of a1's rows stays
    work.unlearn(ASCENT, request=NewRequest(forget="owner:a1"))
    results = work.audit(references=16, retrained=2, workers=0).to_dict()
    assert results["data"]["test"] == 17
    assert results["notes"] == ["3 test samples of owners who are forgotten were left out of this audit"]
    assert len(work.references(16, workers=0).ids) == 60  # the population is that of every request
    assert work.inspect(retrained=2)["data"]["test"] == 17


def test_people_of_earlier_requests_are_left_out_as_well(begin: Callable[..., Workspace]):
    work = begin()
    first = work.unlearn(ASCENT, request=NewRequest(forget="owner:a1"))
    work.unlearn(ASCENT, request=NewRequest(forget="owner:a2", after=first.id))
    assert work.elsewhere(1).test == 3
    assert work.elsewhere(2).test == 4


def test_an_audit_without_other_people_is_refused_before_any_work(begin: Callable[..., Workspace]):
    work = begin(test_owner=np.array(["a1"] * 20))
    work.unlearn(ASCENT, request=NewRequest(forget="owner:a1"))
    with pytest.raises(AuditError, match=r"^expected test samples of other owners than those to forget, got 20 of "):
        work.audit(references=8, retrained=2, workers=0)
    assert not (work.folder / "references").exists()


def test_the_command_line_tells_of_both(begin: Callable[..., Workspace], capsys: pytest.CaptureFixture[str]):
    work = begin(train_x=distinct(40, copies={12: 1}))
    work.train()
    asked = ["unlearn", "gradient_ascent", "--out", str(work.folder), "--forget", "owner:a1"]
    copy = "1 copy of these samples stays trained on under another name"
    unseen = "3 more of the same owners' lie in the test set"

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit, match="0"):
            main([*asked, *arguments])
        return " ".join(capsys.readouterr().out.split())

    for out in (run("--dry-run"), run("--dry-run", "--json"), run("--set", "learning_rate=0.01")):
        assert copy in out or json.loads(out)["copies"] == ["s12"]
        assert unseen in out or json.loads(out)["unseen"]["test"] == 3
    facts = json.loads(run("--set", "learning_rate=0.01", "--json"))
    assert (facts["copies"], facts["unseen"]) == (1, {"test": 3, "holdout": 0})


def test_the_command_line_takes_copies_along(begin: Callable[..., Workspace], capsys: pytest.CaptureFixture[str]):
    work = begin(train_x=distinct(40, copies={12: 1}))
    with pytest.raises(SystemExit, match="0"):
        main(["unlearn", "retrain", "--out", str(work.folder), "--forget", "s01", "--with-copies", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert (facts["forget"], facts["copies"]) == (2, 0)
