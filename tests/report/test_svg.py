"""Figures as SVG text."""

import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib import rc_context

from obliviate.report.style import ORIGINAL
from obliviate.report.svg import RC, new_figure, page_svg, short, svg


@rc_context(RC)
def picture(text: str = "a & <b>") -> str:
    figure, axes = new_figure(300, 200, left=20, right=10, top=10, bottom=20)
    axes.plot([0, 1], [0, 1], color=ORIGINAL)
    axes.set_xlabel(text)
    return page_svg(figure, "prefix", 'what it shows: "a" & <b>')


def test_a_picture_of_the_page_has_variables_for_colours_and_a_text_alternative() -> None:
    text = picture()
    assert "var(--original)" in text
    assert ORIGINAL not in text
    assert 'aria-label="what it shows: &quot;a&quot; &amp; &lt;b&gt;"' in text
    assert "font-family" not in text


def test_a_standalone_picture_keeps_its_colours_and_is_xml() -> None:
    figure, axes = new_figure(300, 200, left=20, right=10, top=10, bottom=20)
    axes.plot([0, 1], [0, 1], color=ORIGINAL)
    text = svg(figure, "prefix")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert ORIGINAL in text


def test_ids_begin_with_the_name_of_the_picture_and_bytes_are_the_same() -> None:
    ids = re.findall(r' id="([^"]*)"', picture())
    assert ids
    assert all(name.startswith("prefix-") for name in ids)
    assert picture() == picture()


@pytest.mark.parametrize(("name", "text"), [("a\x00b\n", "a b"), ("x" * 40, "x" * 25 + "…"), (3, "3")])
def test_names_are_cut_to_what_fits_and_have_no_control_characters(name: object, text: str) -> None:
    assert short(name) == text
