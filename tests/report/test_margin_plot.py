"""The margins of a model's answers."""

from example_results import example
from obliviate.report.margin_plot import margin_plots
from obliviate.results.file import parse


def test_of_retrained_models_the_first_stands_for_all() -> None:
    names = [name for name, _ in margin_plots(parse(example()))]
    assert names == ["original", "retrained-0", "AMUN", "fine-tune", "gradient ascent", "boundary"]


def test_pictures_differ_where_densities_do() -> None:
    original, retrained, *_ = (picture for _, picture in margin_plots(parse(example())))
    assert original.startswith("<svg")
    assert original != retrained
