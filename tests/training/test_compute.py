import contextlib

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import TrainingError
from obliviate.task import Classification
from obliviate.training.compute import Compute, computing
from obliviate.training.inference import mean_loss, observed, outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run


def test_every_run_follows_what_is_asked_for_and_arguments_win(three_classes: Classification):
    with computing(device="cpu", precision="bfloat16", loader_workers=2, evaluation_batch=7):
        run = Run(three_classes)
        explicit = Run(three_classes, precision="float32", workers=0, evaluation_batch=9)
    assert (run.device.type, run.precision.dtype, run.workers, run.evaluation_batch) == ("cpu", torch.bfloat16, 2, 7)
    assert (explicit.precision.dtype, explicit.workers, explicit.evaluation_batch) == (torch.float32, 0, 9)
    assert Run(three_classes).evaluation_batch == 500


@pytest.mark.parametrize(("own", "dtype"), [("auto", torch.bfloat16), ("float32", torch.float32)])
def test_a_recipe_that_names_a_precision_keeps_it(own: str, dtype: torch.dtype, three_classes: Classification):
    with computing(precision="bfloat16"):
        assert Run(three_classes, recipe=Recipe(precision=own)).precision.dtype is dtype


def test_what_is_left_out_is_that_from_outside_and_all_is_given_back():
    with computing(evaluation_batch=3), contextlib.suppress(KeyError), computing(loader_workers=1) as inner:
        assert inner == Compute.current() == Compute(loader_workers=1, evaluation_batch=3)
        raise KeyError
    assert Compute.current() == Compute()


class Counting(nn.Linear):
    """Notes how many samples it is asked about at once."""

    def forward(self, input: Tensor) -> Tensor:
        self.sizes = [*getattr(self, "sizes", []), len(input)]
        return super().forward(input)


def test_models_are_asked_about_as_many_samples_as_the_evaluation_batch(tiny: Samples, three_classes: Classification):
    model = Counting(6, 3)
    with computing(evaluation_batch=40):
        outputs(model, tiny)
        observed(model, tiny, three_classes)
        mean_loss(model, tiny, three_classes)
    assert model.sizes == [40, 20, 40, 20, 30, 30]  # a mean is taken in equal batches


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "half"}, "expected a precision of auto, bfloat16, float32, got 'half'; use 'auto'"),
        ({"loader_workers": -1}, "expected loader_workers of 0 or more, got -1"),
        ({"evaluation_batch": 0}, "expected evaluation_batch of 1 or more, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str):
    with pytest.raises(TrainingError, match=message), computing(**settings):
        pass


def test_a_device_that_is_not_there_is_refused_with_those_that_are(three_classes: Classification):
    with (
        computing(device="cuda:99"),
        pytest.raises(TrainingError, match=r"expected a device of cpu.*, got 'cuda:99'; name"),
    ):
        Run(three_classes)
