import pytest

from obliviate.cli.progress import progress
from obliviate.training.progress import silent


def test_a_finished_stage_is_a_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as show:
        for done in (0, 1, 2, 2):
            show("train", done, 2)
        show("never finished", 1, 2)
    written = capsys.readouterr()
    (line,) = written.err.splitlines()
    assert line.startswith("train: ")
    assert line.endswith(" s")
    assert written.out == ""


def test_nothing_is_shown_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as show:
        assert show is silent
        show("train", 1, 1)
    assert capsys.readouterr() == ("", "")
