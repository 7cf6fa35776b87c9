"""Values that are written as text."""

import pytest

from obliviate.cli.arguments import configure
from obliviate.errors import MethodError
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], FineTune()),
        (["epochs=3", "learning_rate=0.05"], FineTune(epochs=3, learning_rate=0.05)),
        (["learning_rate=1"], FineTune(learning_rate=1.0)),
        (["learning_rate=1e-3"], FineTune(learning_rate=1e-3)),
    ],
)
def test_hyperparameters_are_converted(assignments: list[str], expected: FineTune) -> None:
    method = configure(FineTune, assignments)
    assert method == expected
    assert repr(method) == repr(expected)  # the integer 1 becomes 1.0, so that equal settings have one name


def test_optional_hyperparameters_are_converted() -> None:
    method = configure(AMUN, ["saliency=0.5", "search=pgd", "keep_forget=true", "radius=1", "epochs=2"])
    assert repr(method) == repr(AMUN(saliency=0.5, search="pgd", keep_forget=True, radius=1.0, epochs=2))
    assert configure(AMUN, ["saliency=null"]) == AMUN()
    assert configure(AMUN, ["optimizer=adamw"]) == AMUN(optimizer="adamw")
    assert configure(AMUN, ["learning_rate=1.5x"]) == AMUN(learning_rate="1.5x")
    with pytest.raises(MethodError, match=r'expected optimizer to be a text \(the default is "recipe"\), got .null.'):
        configure(AMUN, ["optimizer=null"])


OTHER = ["keep_forget=1", "keep_forget=yes", "epochs=true", "epochs=2.5", "saliency=half"]


@pytest.mark.parametrize("text", OTHER)
def test_values_of_another_type_are_refused(text: str) -> None:
    name = text.partition("=")[0]
    with pytest.raises(MethodError, match=f"expected {name} to be "):
        configure(AMUN, [text])


@pytest.mark.parametrize("text", ["clip_norm=true", "epochs=2.0", "clip_norm=null", 'batch_size="64"'])
def test_values_of_another_type_than_the_default_are_refused(text: str) -> None:
    with pytest.raises(MethodError, match=r"to be a (whole )?number.* \(the default is "):
        configure(GradientAscent, [text])
