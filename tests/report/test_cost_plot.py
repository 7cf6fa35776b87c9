"""What unlearning costs beside a retraining."""

import re
from typing import Any

from example_results import example
from obliviate.report.cost_plot import cost_plot
from obliviate.results.file import parse


def words(results: dict[str, Any]) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", cost_plot(parse(results))).split())


def test_every_method_has_its_seconds_and_its_share_of_a_retraining() -> None:
    text = words(example())
    assert "retraining (mean of 3) 22.9 s" in text
    assert "4.4 s · 19 %" in text
    assert "0.8 s · 3.5 %" in text  # shares below 10 % with a decimal


def test_a_model_without_a_time_has_no_bar() -> None:
    results = example()
    results["models"][4]["seconds"] = None
    assert "AMUN" not in words(results)
    assert "AMUN" in words(example())
