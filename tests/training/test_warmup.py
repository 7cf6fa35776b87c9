import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training import warmup
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.precision import Precision
from obliviate.training.warmup import warm_up

CPU = torch.device("cpu")
TIMES = """
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
import obliviate as ob
train = ob.Samples.from_tensors(torch.rand(64, 1, 8, 8), torch.arange(64) % 2)
task, recipe = ob.Classification(classes=2), ob.Recipe(model_options={"classes": 2, "size": 8}, epochs=1)
split = ob.Split.of(train, forget=train.ids[:8])
original = ob.TrainedModel.given(recipe.build(seed=0), task, recipe=recipe)
runs = [
    lambda: ob.unlearn(original, split, ob.AMUN()).seconds,
    lambda: ob.train(ob.Experiment(task, recipe, train)).seconds,
]
for run in runs:
    print(run(), run())
"""


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "_done", set())


class Drawing(nn.Module):
    """Draws from every global generator, and counts how often a copy of it is called."""

    def __init__(self, called: list[bool]) -> None:
        super().__init__()
        self.layer, self.norm, self.drop = nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Dropout()
        self.called = called

    def __deepcopy__(self, memo: object) -> nn.Module:
        twin = Drawing(self.called)
        twin.load_state_dict(self.state_dict())
        return twin

    def forward(self, x: Tensor) -> Tensor:
        self.called.append(self.training)
        random.random()
        np.random.rand()
        return self.norm(self.drop(self.layer(x)))


def test_the_first_call_of_a_process_takes_no_longer_than_the_second() -> None:
    printed: list[str] = []
    for _ in range(3):  # what another process takes of the machine just then is in few of them
        done = subprocess.run([sys.executable, "-c", TIMES], check=True, capture_output=True, text=True)
        printed.append(done.stdout)
        times = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
        assert len(times) == 2
        if all(0 < first <= 3 * second + 0.2 for first, second in times):
            return
    pytest.fail(f"expected a first call as fast as the second, got {printed}")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_changes_neither_the_model_nor_any_random_state(
    precision: str, tiny: Samples, three_classes: Classification
) -> None:
    called: list[bool] = []
    model = Drawing(called)
    before = weights_sha256(model), [module.training for module in model.modules()], torch.get_num_threads()
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    expected = random.random(), float(np.random.rand()), float(torch.rand(1))
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    warm_up(model, tiny, three_classes, Precision.choose(precision, CPU))
    assert called == [True, False, False]
    assert (random.random(), float(np.random.rand()), float(torch.rand(1))) == expected
    assert (weights_sha256(model), [module.training for module in model.modules()], torch.get_num_threads()) == before
    assert all(weight.grad is None for weight in model.parameters())


def test_it_is_done_once_for_an_architecture_and_again_for_another(
    tiny: Samples, three_classes: Classification
) -> None:
    called: list[bool] = []
    for _ in range(2):
        warm_up(Drawing(called), tiny, three_classes, Precision.choose("float32", CPU))
    assert len(called) == 3
    warm_up(Drawing(called), tiny, three_classes, Precision.choose("bfloat16", CPU))
    assert len(called) == 6


def test_a_model_that_cannot_be_trained_is_left_to_whoever_trains_it(
    tiny: Samples, three_classes: Classification
) -> None:
    for model in (nn.Linear(5, 3), nn.Linear(6, 3).requires_grad_(False)):
        warm_up(model, tiny, three_classes, Precision.choose("float32", CPU))
