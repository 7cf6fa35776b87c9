from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.rules import (
    Among,
    Chosen,
    Forget,
    Rule,
    choose,
    class_ids,
    owner,
    random_ids,
    where,
)
from obliviate.data.samples import Samples
from obliviate.data.sources import load_data
from obliviate.data.split import Split
from obliviate.errors import DataError


def train(n: int = 8) -> Samples:
    return Samples.from_tensors(torch.rand(n, 2), torch.arange(n), ids=[f"k{i}" for i in range(n)])


COLUMNS: dict[str, Any] = {
    "person": ["ann", "bob", "ann", "Doe, Jane", "bob", "eve", "eve", "anna"],
    "age": np.array([20, 31, 20, 40, 31, 8, 8, 77]),
}


def forgotten(forget: Forget, **changed: Any) -> list[str]:
    options: dict[str, Any] = {"metadata": COLUMNS, "owner": "person"} | changed
    return Split.of(train(), forget=forget, **options).forget.ids.tolist()


@pytest.mark.parametrize(
    ("text", "rule", "ids"),
    [
        ("owner:ann", owner("ann"), ["k0", "k2"]),
        ("owner:eve, ann", owner("eve", "ann"), ["k0", "k2", "k5", "k6"]),
        ("owner:Doe, Jane", owner("Doe, Jane"), ["k3"]),
        ("where:age < 30", where("age < 30"), ["k0", "k2", "k5", "k6"]),
        ("where:person != 'ann' and 8 < age <= 40", where("person != 'ann' and 8 < age <= 40"), ["k1", "k3", "k4"]),
    ],
)
def test_a_split_takes_a_rule_or_its_text_and_a_mapping_of_columns(text: str, rule: Rule, ids: list[str]):
    assert forgotten(text) == ids
    assert forgotten(rule) == ids
    assert "".join(rule.text.split()) == "".join(text.split())


def test_ids_classes_and_shares_need_no_columns(tmp_path: Path):
    (tmp_path / "ids.txt").write_text("k3\n\nk1\n")
    without: dict[str, Any] = {"metadata": None, "owner": None}
    assert forgotten("class:3", **without) == ["k3"]
    assert forgotten("k4, k1", **without) == ["k4", "k1"]
    assert forgotten(["k4", "k1"], **without) == ["k4", "k1"]
    assert forgotten(np.array(["k4"]), **without) == ["k4"]
    assert forgotten(f"@{tmp_path / 'ids.txt'}", **without) == ["k3", "k1"]
    for seed in range(3):
        assert forgotten("random:0.5", seed=seed, **without) == random_ids(train(), 0.5, seed=seed).tolist()


def test_a_rule_of_ones_own_is_a_function():
    last = Rule("last", lambda among: Chosen(among.train.ids[-1:].tolist(), "the last"))
    assert forgotten(last) == ["k7"]
    assert choose("last:2", Among(train()), {"last:": lambda text: Rule(text, last.choose)}).rule == "the last"
    assert repr(last) == "Rule(text='last')"


def test_an_id_may_look_like_a_rule():
    samples = Samples.from_tensors(torch.zeros(3, 1), torch.zeros(3), ids=["a:1", "b,2", "c"])
    assert Split.of(samples, forget="a:1,c").forget.ids.tolist() == ["a:1", "c"]
    assert Split.of(samples, forget="b,2").forget.ids.tolist() == ["b,2"]


@pytest.mark.parametrize(
    ("forget", "changed", "message"),
    [
        ("owner:anne", {}, "expected owners, in column 'person', of these 8 samples, got 1 of 1 that are none: "),
        ("owner:zzz", {}, "1 not known ('zzz'); correct them"),
        ("owner:ann,zzz", {}, "1 not known ('zzz'); correct them, or go on without them by --unknown skip"),
        ("owner:", {}, "expected the name of an owner, got none; "),
        ("owner:ann", {"owner": None}, "expected data with a column of owners, got data without; "),
        ("owner:ann", {"owner": "persn"}, "expected a column of person, age, got 'persn'; did you mean 'person'?"),
        ("owner:ann", {"metadata": None}, "expected data with columns beside the samples, got none named 'person'; "),
        ("where:", {}, "expected a condition such as "),
        ("where:size > 3", {}, "expected a column of person, age, label, got 'size'; name one of them"),
        ("where:age > 100", {}, "which none of them meets (age is 8 … 77); change it"),
        ("where:age < 100", {}, "which all 8 meet (age is 8 … 77); change it"),
        ("ownr:ann", {}, "expected ids of these 8 samples, or a rule (random:, class:, owner:, "),
        ("ownr:ann", {}, "got 'ownr:ann'; did you mean 'owner:'?"),
        ("memorised:0.1", {}, "expected references to rank samples by, got the text 'memorised:0.1' alone; use obliv"),
        ("mislabelled:3", {}, "use obliviate.mislabelled(3, pool, task), or a folder"),
        ("mislabelled:2.5", {}, "with a share in (0, 1), or a whole number of samples above 0, got 2.5; try"),
        ("memorised:many", {}, "expected memorised:SHARE with a share in (0, 1), or memorised:N with a number of"),
        (["k1"], {"metadata": {"age": [1, 2]}}, "expected one age per training sample, got an array of shape (2,) for"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_followed_is_refused(forget: Forget, changed: dict[str, Any], message: str):
    with pytest.raises(DataError, match=r"^expected ") as error:
        forgotten(forget, **changed)
    assert message in str(error.value)


def test_owners_may_be_numbers():
    assert forgotten("owner:7", metadata={"person": np.array([7, 12, 7, 3, 3, 3, 3, 3])}) == ["k0", "k2"]


@pytest.mark.parametrize("make", [owner, lambda: owner("")])
def test_an_owner_without_a_name_is_refused(make: Callable[[], Rule]):
    with pytest.raises(DataError, match=r"^expected the name of an owner, got none; "):
        make()


@settings(max_examples=50)
@given(n=st.integers(2, 40), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_random_ids_have_the_right_number_and_repeat(n: int, share: float, seed: int):
    samples = train(n)
    ids = random_ids(samples, share, seed=seed)
    assert len(ids) == max(1, round(share * n))
    assert samples.places(ids).tolist() == sorted(samples.places(ids).tolist())
    assert ids.tolist() == random_ids(samples, share, seed=seed).tolist()


def test_random_ids_depend_on_the_seed_and_leave_global_random_states_alone():
    samples = train(60)
    before, kept = str(np.random.get_state()), torch.get_rng_state()  # pyright: ignore
    drawn = {tuple(random_ids(samples, 0.2, seed=seed)) for seed in range(20)}
    assert len(drawn) == 20
    # With 240 draws of 60 ids, one that is never drawn has probability 0.8²⁰ = 1 %; all but a few must appear.
    assert len({name for names in drawn for name in names}) > 50
    assert str(np.random.get_state()) == before  # pyright: ignore
    assert torch.equal(torch.get_rng_state(), kept)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_a_share_outside_the_open_unit_interval_is_refused(share: float):
    with pytest.raises(DataError, match=r"^expected a share of the training set in \(0, 1\), got .*; "):
        random_ids(train(), share, seed=0)


def test_a_class_is_every_sample_with_its_label():
    train = Samples.from_tensors(torch.zeros(5, 2), torch.tensor([2, 0, 2, 5, 2]), ids=list("abcde"))
    assert class_ids(train, 2).tolist() == ["a", "c", "e"]
    assert class_ids(train, 5).tolist() == ["d"]
    message = (
        r"^expected a class of the training set \(0 with 1 samples, 2 with 3, 5 with 1\), got 1; name one of them$"
    )
    with pytest.raises(DataError, match=message):
        class_ids(train, 1)


def test_a_class_is_asked_for_where_a_sample_has_one_label():
    train = Samples.from_tensors(torch.zeros(2, 2), torch.zeros(2, 3), ids=list("ab"))
    with pytest.raises(DataError, match=r"^expected one integer label per sample, got torch.float32 .*; name ids"):
        class_ids(train, 1)


def test_many_classes_are_not_all_listed():
    train = Samples.from_tensors(torch.zeros(100, 2), torch.arange(100))
    with pytest.raises(DataError, match=r"\(0 with 1 samples, 1 with 1, .* and 80 more\), got 100;"):
        class_ids(train, 100)


NAMED = Among(
    Samples.from_tensors(torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), torch.tensor([0, 2, 2]), ids=list("abc")),
    classes=("s1", "s10", "s2"),
)


@pytest.mark.parametrize("text", ["class:s2", "class:2", "class: S2 ", "class:02"])
def test_a_class_is_chosen_by_its_name_and_by_its_number_and_both_are_told(text: str):
    chosen = choose(text, NAMED)
    assert (list(chosen.ids), chosen.rule) == (["b", "c"], "class s2 (number 2)")


def test_the_name_of_a_class_goes_before_a_number():
    chosen = choose("class:2", replace(NAMED, classes=("1", "2", "3"), train=NAMED.train.without(["b"])))
    with pytest.raises(DataError, match=r"\(1 \(number 0\) with 1 samples, 3 \(number 2\) with 1\), got '9'"):
        choose("class:9", replace(NAMED, classes=("1", "2", "3"), train=NAMED.train.without(["b"])))
    assert (list(chosen.ids), chosen.rule) == (["c"], "class 3 (number 2)")  # no sample has the class that is called 2


def test_a_condition_reads_inputs_and_labels():
    assert list(choose("where:x1 > 2", NAMED).ids) == ["b", "c"]
    assert list(choose("where:label == 's1'", NAMED).ids) == ["a"]
    assert list(choose("where:label == 2 and x0 < 4", replace(NAMED, classes=())).ids) == ["b"]
    with pytest.raises(DataError, match=r"^expected a column of label, got 'x2'; "):
        choose("where:x2 > 2", NAMED)


def test_a_condition_reads_every_column_of_a_table(tmp_path: Path):
    rows = [f"{place},{20 + place},2020-01-{1 + place:02d},{place % 2}" for place in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["key,age,day,label", *rows]))
    (tmp_path / "data.toml").write_text('path = "t.csv"\ntarget = "label"\nid = "key"\ndrop = ["day"]\n')
    data = load_data(tmp_path, train_size=10)
    ages = {str(place): 20 + place for place in range(20)}
    for condition in ("age < 30", "day < '11.01.2020'", "label == 1", "key in (1, 2, 3)"):
        ids = list(choose(f"where:{condition}", data.among()).ids)
        tests = {
            "age < 30": lambda key: ages[key] < 30,
            "day < '11.01.2020'": lambda key: int(key) < 10,
            "label == 1": lambda key: int(key) % 2 == 1,
            "key in (1, 2, 3)": lambda key: key in ("1", "2", "3"),
        }
        assert ids == [key for key in data.train.ids.tolist() if tests[condition](key)]


def test_owners_come_from_a_file_and_none_is_named_to_whoever_asks_for_another(tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_bytes(b"\xef\xbb\xbfperson;since\r\n ann ;1\r\nbob;2\r\nbob;3\r\nzoe;4\r\nkim;5\r\n")
    among = Among(train(), COLUMNS, "person", owners_elsewhere={"test": np.array(["kim"])})
    with pytest.raises(DataError, match=r"2 of 4 that are none: 1 of the test set.* \('kim'\); 1 not .*'zoe'") as error:
        choose(f"owner:@{path}", among)
    assert "anna" not in str(error.value)
    chosen = choose(f"owner:@{path}:person", replace(among, unknown="skip"))
    assert (list(chosen.ids), chosen.rule) == (["k0", "k1", "k2", "k4"], "2 owners from people.csv")
    assert [entry["status"] for entry in chosen.asked] == ["found", "found", "duplicate", "unknown", "test"]


def test_a_condition_on_owners_that_none_meets_names_nobody():
    with pytest.raises(DataError, match=r"which none of them meets \(person has 5 values\); change it$"):
        forgotten("where:person == 'zoe'")


def test_ids_of_a_text_are_found_in_any_spelling_and_counted():
    samples = Samples.from_tensors(torch.zeros(3, 1), torch.zeros(3), ids=["1", "2", "3"])
    chosen = choose(" 01, 2.0,2, 9", Among(samples, unknown="skip"))
    assert list(chosen.ids) == ["1", "2"]
    assert [entry["status"] for entry in chosen.asked] == ["found", "found", "duplicate", "unknown"]


def test_a_list_that_was_named_without_its_sign_is_told(tmp_path: Path):
    path = tmp_path / "gone.csv"
    path.write_text("id\nk1\n")
    for forget, sign in ((f"{path}", "@"), (f"owner:{path}", "owner:@")):
        with pytest.raises(DataError, match=f"correct them, or name the list in this file, {sign}{path}$"):
            forgotten(forget)
