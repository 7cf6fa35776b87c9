"""How far the work is can be seen from another process, and a file that is none tells nothing."""

from pathlib import Path

import pytest

from obliviate.project.progress import FILE, Stage, Written, read


def test_what_is_reported_is_written_at_most_once_a_second(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written("training", 1, 4)
    written("training", 2, 4)
    stage = read(tmp_path)
    assert stage is not None
    assert (stage.stage, stage.percent) == ("training", 25)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"stage": "x", "done": "y", "total": 1, "time": 0}', "\0"])
def test_a_file_that_is_not_ours_tells_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path) is None
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    assert read(tmp_path) is None


def test_percents_stay_between_none_and_all() -> None:
    assert [Stage("s", done, total, 0.0).percent for done, total in ((0, 0), (-1, 2), (1, 3), (5, 3))] == [
        0,
        0,
        33,
        100,
    ]
