"""`obliviate unlearn --forget` and `--after`: what is forgotten, and what is refused."""

import json
from pathlib import Path

import pytest

from command_line import Cli, first, refused, snapshot, weights
from obliviate._util.files import read_sealed_json
from obliviate.data.ids import ids_sha256
from obliviate.requests import Requests
from obliviate.requests.request import FORMAT


def test_forget_ids_come_from_a_file(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("image-5\nimage-1\n\nimage-9\n")
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", f"@{tmp_path / 'ids.txt'}")[0] == 0
    (kept,) = Requests(folder).all
    assert (kept.rule, kept.ids) == ("ids from ids.txt", ["image-5", "image-1", "image-9"])


def test_a_second_request_goes_on_from_an_unlearned_model(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--set", "epochs=1", "--forget")
    assert cli(*asked, "image-1,image-2")[0] == 0
    before = snapshot(folder)
    refused(
        cli(*asked, "image-2,image-3", "--after", "1-gradient_ascent"), "still trained on", "'image-2' of request 1"
    )
    refused(cli(*asked, "image-3", "--after", "amun"), "an unlearned model of", "(1-gradient_ascent-", "got 'amun'")
    failing = ("unlearn", "fine_tune", "--out", folder, "--set", "learning_rate=1e30", "--forget", "image-3")
    refused(cli(*failing, "--after", "1-gradient_ascent"), "a finite loss")
    refused(cli(*asked[:-1], "--after", "1-gradient_ascent"), "a request of", "from 1 to 1, got 2")
    assert snapshot(folder) == before
    code, out, _ = cli(*asked, "random:0.1", "--after", "1-gradient_ascent", "--json")
    facts = json.loads(out)
    assert (code, facts["request"], facts["forget"]) == (0, 2, 30)
    code, out, _ = cli("unlearn", "fine_tune", "--out", folder, "--set", "epochs=1")
    assert code == 0
    assert "(random 10 %; request 2, after gradient_ascent)" in out
    code, out, _ = cli(*asked, "image-1,image-2")  # the first request, as it was
    assert code == 0
    assert "forgot 2 of 300 samples (ids)" in out
    assert len(weights(folder)) == 4
    refused(cli("audit", "--out", folder, "--request", 3), "a request of", "from 1 to 2, got 3")
    refused(cli("inspect", "--out", folder, "--request", 0), "a request of", "from 1 to 2, got 0")


EVERYTHING = ",".join(f"image-{number}" for number in range(300))


@pytest.mark.parametrize(
    ("forget", "words"),
    [
        ("image-1,image-300", ["ids of these 300 samples", "'image-300'"]),
        ("image-1,image-1,image-300", ["1 of 2 that are none", "1 not known ('image-300')"]),
        ("", ["at least one id", "none"]),
        (",", ["at least one id", "none"]),
        (EVERYTHING, ["smaller than the training set", "all 300 samples"]),
        ("random:0", ["a share of the training set in (0, 1)", "0.0"]),
        ("random:1.5", ["a share of the training set in (0, 1)", "1.5"]),
        ("random:nan", ["a share of the training set in (0, 1)", "nan"]),
        ("random:some", ["random:SHARE", "'random:some'"]),
        ("class:10", ["a class of the training set (0 with ", ", 9 with ", "'10'"]),
        ("class:shirt", ["a class of the training set (0 with ", "'shirt'"]),
        ("@/nowhere/ids.txt", ["a text file", "/nowhere/ids.txt"]),
        ("coins", ["a folder with coins", "without"]),
        ("noise", ["a folder with noise", "without"]),
        ("owner:w21", ["owners, in column 'owner', of these 300 samples", "1 not known ('w21')"]),
        ("owner:", ["the name of an owner", "none"]),
        ("where:ownr == 'w1'", ["a column of owner", "'ownr'; did you mean 'owner'?"]),
        ("where:owner = 'w1'", ["a condition such as ", "use columns, numbers, "]),
        ("where:owner == 'x'", ["a condition that some of the 300 training samples meet", "none of them meets"]),
        ("where:owner != 'x'", ["a condition that some of the 300 training samples meet", "all 300 meet"]),
        ("where:__import__('os').system('true') == 0", ["columns, numbers, ", "Call"]),
        ("ownr:w1", ["ids of these 300 samples, or a rule (", "'ownr:w1'; did you mean 'owner:'?"]),
        ("memorised:0.1", ["references in ", "none", "run `obliviate references --out "]),
        ("mislabelled:5", ["references in ", "none", "run `obliviate references --out "]),
        ("memorised:1.5", ["memorised with a share in (0, 1)", "1.5"]),
        ("mislabelled:few", ["mislabelled:SHARE", "'mislabelled:few'"]),
    ],
    ids=[
        "unknown",
        "duplicate",
        "empty",
        "comma",
        "everything",
        "none",
        "too many",
        "NaN",
        "word",
        "class",
        "name",
        "no file",
        "no coins",
        "no noise",
        "no such owner",
        "no owner",
        "no such column",
        "no condition",
        "none meets",
        "all meet",
        "code",
        "misspelt",
        "no references",
        "none either",
        "share",
        "no number",
    ],
)
def test_a_bad_forget_set_is_refused_before_anything_is_written(
    cli: Cli, folder: Path, forget: str, words: list[str]
) -> None:
    before = snapshot(folder)
    for dry_run in ([], ["--dry-run"]):
        refused(cli("unlearn", "amun", "--out", folder, "--forget", forget, *dry_run), *words)
    assert snapshot(folder) == before


def test_the_most_memorised_are_forgotten_by_what_the_references_say(cli: Cli, folder: Path) -> None:
    assert cli("references", "--out", folder, "--references", 4, "--workers", 0)[0] == 0
    before = snapshot(folder)
    asked = ("unlearn", "gradient_ascent", "--out", folder)
    for rule, heading in (("memorised", "memorised"), ("mislabelled", "agreed")):
        code, out, _ = cli(*asked, "--forget", f"{rule}:12", "--dry-run")
        assert code == 0
        assert heading in out
        assert "and 2 more; --json lists all ids" in out
        code, out, _ = cli(*asked, "--forget", f"{rule}:0.04", "--dry-run", "--json")
        outline = json.loads(out)
        assert len(outline["ids"]) == 12
        ranks = [sample[heading] for sample in outline["samples"]]
        assert ranks == sorted(ranks, reverse=rule == "memorised")
    assert snapshot(folder) == before
    assert cli(*asked, "--forget", "mislabelled:12")[0] == 0
    before = snapshot(folder)
    code, _, err = cli("audit", "--out", folder, "--references", 6, "--retrained", 0, "--workers", 0)
    assert code == 1
    assert "at least 2 retrained models where 4 references chose what to forget, got 0; these are" in err
    assert snapshot(folder) == before
    assert read_sealed_json(first(folder).request) == {
        "format": FORMAT,
        "before_sha256": ids_sha256([]),
        "rule": "the 12 whose labels 4 references contradict most",
        "references": 4,
        "ids": outline["ids"],
    }


def test_a_forget_file_that_is_not_text_is_refused(cli: Cli, folder: Path, mine: Path) -> None:
    before = snapshot(folder)
    refused(cli("unlearn", "amun", "--out", folder, "--forget", f"@{mine}"), "a text file", "mine.npz")
    assert snapshot(folder) == before


def test_a_first_request_that_is_refused_does_not_choose_the_forget_set(cli: Cli, folder: Path) -> None:
    before = snapshot(folder)
    for method, *settings in (["sisa"], ["fine_tune", "--set", "learning_rate=1e30"]):
        code, out, err = cli("unlearn", method, "--out", folder, "--forget", "class:7", *settings)
        assert (code, out) == (1, "")
        assert "error: expected " in err
        assert snapshot(folder) == before
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.1")[0] == 0


def test_a_method_without_a_forget_set_is_refused(cli: Cli, folder: Path) -> None:
    before = snapshot(folder)
    refused(cli("unlearn", "amun", "--out", folder), "a forget set", "none")
    refused(cli("audit", "--out", folder), "a forget set", "none")
    assert snapshot(folder) == before


def test_another_forget_set_is_refused(cli: Cli, folder: Path) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-1")
    before = snapshot(folder)
    refused(cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-2"), "the forget set that", "another")
    assert snapshot(folder) == before
