"""A model that is called by the names of its inputs is a model of one tensor."""

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.fine_tune import FineTune
from obliviate.models.named_inputs import NamedInputs
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.types import Layout
from obliviate.workflow import TrainedModel, unlearn

ROWS = [
    {"pixels": torch.rand(2, 3, generator=torch.Generator().manual_seed(place)), "age": place + 20, "label": place % 2}
    for place in range(30)
]


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(60, 2)
        self.head = nn.Linear(6, 2)

    def forward(self, *, age: Tensor, pixels: Tensor) -> Tensor:
        return self.head(pixels.flatten(1)) + self.table(age)


def test_inputs_of_other_shapes_and_types_arrive_as_they_were() -> None:
    torch.manual_seed(0)
    model = Fused()
    samples = Samples.from_dataset(ROWS, inputs=["pixels", "age"], label="label")
    wrapped = NamedInputs(model, Layout.of(ROWS[0], ["pixels", "age"]))
    pixels, age = torch.stack([row["pixels"] for row in ROWS]), torch.tensor([row["age"] for row in ROWS])
    assert torch.equal(wrapped(samples.everything().x), model(pixels=pixels, age=age))


def test_a_model_of_several_inputs_forgets() -> None:
    torch.manual_seed(0)
    samples = Samples.from_dataset(ROWS, inputs=["pixels", "age"], label="label")
    trained = TrainedModel.given(
        NamedInputs(Fused(), Layout.of(ROWS[0], ["pixels", "age"])),
        Classification(classes=2, input_range=None),
        recipe=Recipe(epochs=2, batch_size=8),
    )
    forgot = unlearn(trained, Split.of(samples, forget=samples.ids[:5]), FineTune(epochs=1))
    assert isinstance(forgot.model, NamedInputs)
    assert isinstance(forgot.model.model, Fused)


def test_the_order_of_names_is_that_of_the_samples() -> None:
    class Difference(nn.Module):
        def forward(self, *, a: Tensor, b: Tensor) -> Tensor:
            return a - b

    x = torch.tensor([[[5], [3]]])
    assert NamedInputs(Difference(), ["a", "b"])(x).tolist() == [[2]]
    assert NamedInputs(Difference(), ["b", "a"])(x).tolist() == [[-2]]


def test_one_input_is_handed_on_by_its_name() -> None:
    class Named(nn.Module):
        def forward(self, *, pixel_values: Tensor) -> Tensor:
            return 2 * pixel_values

    assert NamedInputs(Named(), "pixel_values")(torch.ones(1, 3)).tolist() == [[2.0, 2.0, 2.0]]


@pytest.mark.parametrize("names", [["pixels"], ["age"]])
def test_a_single_input_needs_no_layout_of_shapes(names: list[str]) -> None:
    assert Layout.of(ROWS[0], names).stacked
