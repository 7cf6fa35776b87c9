import pytest
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.compute import computing
from obliviate.training.inference import mean_loss, outputs


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))


@pytest.mark.parametrize("batch_size", [1, 7, 500])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_are_those_of_evaluation_mode_in_the_order_of_the_samples(
    tiny: Samples, batch_size: int, training: bool
):
    model = network()
    model(torch.rand(9, 6))  # running statistics that are not the initial ones
    shuffled = tiny.select(tiny.ids[::-1])
    expected = model.eval()(tiny.everything().x).detach()
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits = outputs(model, shuffled, batch_size=batch_size)
    torch.testing.assert_close(logits, expected.flip(0))
    assert not logits.requires_grad
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_outputs_are_float32_even_of_a_bfloat16_model():
    samples = Samples.from_tensors(torch.rand(4, 6).bfloat16(), torch.zeros(4).long(), ids=list("abcd"))
    assert outputs(nn.Linear(6, 3).bfloat16(), samples).dtype is torch.float32


def test_the_mode_is_restored_when_the_model_fails(tiny: Samples):
    model = nn.Linear(5, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        outputs(model, tiny)
    assert model.training


@pytest.mark.parametrize(("asked", "sizes"), [(500, [100, 100, 100]), (40, [38] * 7 + [34]), (1, [1] * 300)])
def test_a_mean_is_taken_in_equal_batches_that_are_small_on_a_processor(asked: int, sizes: list[int]):
    torch.manual_seed(0)
    model, seen = nn.Linear(6, 3), list[int]()
    samples = Samples.from_tensors(torch.rand(300, 6), torch.arange(300) % 3)
    task, batch = Classification(classes=3), samples.everything()
    expected = float(task.per_sample(model(batch.x), batch.y).detach().double().mean())
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    with computing(evaluation_batch=asked):
        assert mean_loss(model, samples, task) == pytest.approx(expected, rel=1e-6)
    assert seen == sizes
