"""AUCs with their intervals, on the page and in a picture of their own."""

import re
import xml.etree.ElementTree as ET

from example_results import example
from obliviate.report.auc_plot import ft_auc_plot, summary_svg
from obliviate.results.file import parse


def test_summary_is_standalone_and_names_every_model():
    svg = summary_svg(parse(example()))
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in svg
    text = " ".join(root.itertext())
    assert all(m["name"] in text for m in example()["models"])


def test_every_model_has_its_figure_beside_its_interval() -> None:
    results = parse(example())
    for narrow in (False, True):
        text = re.sub(r"<[^>]+>", " ", ft_auc_plot(results, narrow=narrow))
        assert all(f"{results.leading(model).ft.value:.1f}" in text for model in results.models)
        assert "never saw them" in text
