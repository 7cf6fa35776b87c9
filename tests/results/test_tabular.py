"""A table of results is the same in text, in HTML, in a frame and in CSV."""

import builtins
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from obliviate.errors import ReportError
from obliviate.results.tabular import Record, Table, Tabular


@dataclass(frozen=True)
class Rows(Tabular):
    """Two models, of which one has a name that HTML and CSV must quote."""

    def records(self) -> list[Record]:
        return [
            {"model": "original", "auc": 97.123456789, "gap": None, "verdict": "leaks"},
            {"model": '<b>, "x"', "auc": 50, "gap": 1.5, "verdict": ""},
        ]

    def table(self) -> Table:
        rows = [(str(row["model"]), f"{row['auc']:.1f}", str(row["verdict"])) for row in self.records()]
        return Table(heads=("model", "auc", "verdict"), rows=rows, notes=("a < b",))


def test_text_is_laid_out_in_columns() -> None:
    assert str(Rows()).splitlines() == [
        "model      auc  verdict",
        "original  97.1  leaks",
        '<b>, "x"  50.0',
        "",
        "a < b",
    ]


def test_html_escapes_every_text_and_asks_for_nothing() -> None:
    html = Rows()._repr_html_()
    assert '<td style="text-align: left">&lt;b&gt;, &quot;x&quot;</td>' in html
    assert "<p>a &lt; b</p>" in html
    assert html.count("<tr>") == 3
    assert not any(word in html for word in ("<b>", "<script", "<style", "http"))


def test_a_frame_has_the_unrounded_figures() -> None:
    frame = Rows().to_frame()
    assert frame.columns.tolist() == ["model", "auc", "gap", "verdict"]
    assert frame["auc"].tolist() == [97.123456789, 50]
    assert frame["gap"].isna().tolist() == [True, False]


def test_csv_is_read_back_as_it_was(tmp_path: Path) -> None:
    text = Rows().to_csv(tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text(encoding="utf-8") == text == Rows().to_csv()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0] == {"model": "original", "auc": "97.123456789", "gap": "", "verdict": "leaks"}
    assert rows[1]["model"] == '<b>, "x"'


def test_figures_are_the_numbers_that_are_known() -> None:
    assert Rows().figures() == {"original/auc": 97.123456789, '<b>, "x"/auc': 50.0, '<b>, "x"/gap': 1.5}


def test_without_pandas_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReportError, match=r"^expected the package pandas for a frame, got none; .*obliviate\[pandas\]"):
        Rows().to_frame()


def test_a_table_without_rows_is_its_notes() -> None:
    assert str(Table(heads=(), rows=(), notes=("nothing measured",))) == "nothing measured"
    assert Table(heads=(), rows=(), notes=("nothing measured",)).html() == "<p>nothing measured</p>"
