"""What a method makes of the weights: a function of the seed, another model than before, and not a useless one."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from obliviate._util.modes import FROZEN
from obliviate.testing.bench import Bench
from obliviate.testing.check import expect
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.compute import computing
from obliviate.training.division import norms

COLLAPSE: Final = 15.0  # points of test accuracy
ROUNDING: Final = 0.01  # of what a method changes


def same_seed_gives_the_same_weights(method: Any, bench: Bench, folder: Path) -> None:
    """Whatever the state of torch's global generator, which stays as it was; another seed gives other weights."""
    first = bench.whole(method).weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        second = weights_sha256(bench.forget(method))
        expect(torch.get_rng_state().equal(before), method, "to leave torch's global random state", "a changed one")
    expect(second == first, method, "the same weights from the same seed", "others; draw inside `run.epochs`")
    other = weights_sha256(bench.forget(method, run=bench.run(seed=1)))
    expect(other != first, method, "other weights from another seed", "the same; take the order from `run.batches`")


def changes_the_weights_of_its_copy_alone(method: Any, bench: Bench, folder: Path) -> None:
    """Half of the tensors change at least, and nothing of the model that was passed in does."""
    outcome = bench.outcome(method)
    expect(not outcome.spoilt, method, "to leave the model that is passed in", f"a changed {', '.join(outcome.spoilt)}")
    before, state = bench.original.state_dict(), outcome.trained.model.state_dict()
    same = [name for name, value in state.items() if value.cpu().equal(before[name].cpu())]
    expect(2 * len(same) <= len(state), method, "to change the weights", f"the same {', '.join(same)}")


def does_not_collapse_under_its_defaults(method: Any, bench: Bench, folder: Path) -> None:
    """Test accuracy stays within 15 points of the original's."""
    now, least = bench.accuracy(bench.outcome(method).trained.model), bench.before - COLLAPSE
    expect(now > least, method, f"test accuracy above {least:.1f} %", f"{now:.1f} %")


def divides_its_batches_if_it_says_so(method: Any, bench: Bench, folder: Path) -> None:
    """Of a class with `divisible = True`: batches in pieces give the weights of whole ones, but for rounding."""
    if not getattr(method, "divisible", False):
        return
    bench = replace(bench, original=_with_frozen_norms(bench.original))
    whole, *divided = (_weights_after(method, bench, pieces) for pieces in (1, 2, 3))
    change = _distance(whole, _weights(bench.original))
    away = max(_distance(whole, other) for other in divided) / change
    wanted = "pieces of batches to give the weights of whole ones, as `divisible` says,"
    got = f"others, {away:.1%} of the change away; ask for `run.batch_means` or `run.whole_batch` in the loss"
    expect(away <= ROUNDING, method, wanted, got)


def _weights_after(method: Any, bench: Bench, pieces: int) -> Tensor:
    with computing(precision="float32", accumulate=pieces):
        return _weights(bench.forget(method))


def _weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten().cpu() for weight in model.parameters()])


def _distance(weights: Tensor, others: Tensor) -> float:
    return float((weights - others).abs().max())


def _with_frozen_norms(model: nn.Module) -> nn.Module:
    """A copy that answers each sample by itself, as a model must whose batches are divided."""
    model = copy.deepcopy(model)
    for norm in norms(model):
        setattr(norm, FROZEN, True)
    return model
