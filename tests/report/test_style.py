"""How models look."""

from example_results import example, model
from obliviate.report.style import ORIGINAL, RETRAINED, VARIABLES, styles
from obliviate.results.file import parse


def test_original_and_retrained_models_have_a_look_of_their_role() -> None:
    original, *retrained = styles(parse(example()).models)[:4]
    assert (original.colour, original.marker) == (ORIGINAL, "s")
    assert {(style.colour, style.marker) for style in retrained} == {(RETRAINED, "o")}


def test_twenty_four_unlearned_models_are_told_apart() -> None:
    results = example()
    unlearned = [model(f"m{i}", "unlearned", "M()", (90.0, 90.0, 90.0), 51.0, "leaks", 1.0, 0.1) for i in range(24)]
    results["models"] = unlearned
    looks = styles(parse(results).models)
    assert len({(style.colour, style.dashes) for style in looks}) == 24
    assert len({(style.colour, style.marker) for style in looks}) == 24


def test_every_colour_is_a_variable_of_the_page() -> None:
    assert all(style.variable.startswith("--") for style in styles(parse(example()).models))
    assert len(set(VARIABLES.values())) == len(VARIABLES)
