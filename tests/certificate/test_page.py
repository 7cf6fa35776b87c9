"""The page of a certificate says all that the file says, and asks for nothing outside itself."""

import re
from dataclasses import replace
from pathlib import Path

from obliviate.certificate import SigningKey, issue
from obliviate.certificate.page import render, write
from obliviate.certificate.statement import Statement


def test_the_page_says_what_the_certificate_says(tmp_path: Path, statement: Statement, key: SigningKey) -> None:
    certificate = issue(tmp_path / "7.json", statement, key)
    write(tmp_path / "7.html", certificate, name="7.json")
    page = (tmp_path / "7.html").read_text(encoding="utf-8")
    for text in (
        "consistent with retraining", "No attack tells it.", "One seed.", "FineTune(epochs=3)", "71.00 percent",
        "60.50 to 80.00", statement.file_sha256, key.id, "d" * 64, "AMUN()", "obliviate verify 7.json",
    ):  # fmt: skip
        assert text in page
    assert re.findall(r"(?:src|href)=|https?://|@import|<script", page) == []


def test_what_it_says_cannot_be_markup(tmp_path: Path, statement: Statement, key: SigningKey) -> None:
    certificate = issue(tmp_path / "7.json", replace(statement, method="<script>alert(1)</script>"), key)
    assert "<script" not in render(certificate, name="7.json")
