"""What a loss gets of the whole batch while a piece of it is computed, and that its gradients add up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import fsdp

from obliviate._util.randomness import undisturbed
from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.task import Classification
from obliviate.training.compute import computing
from obliviate.training.division import Division
from obliviate.training.optimizers import SGD
from obliviate.training.run import Run
from obliviate.training.update import Update
from obliviate.types import Batch
from processes import largest_difference, together

Loss = Callable[[Run], Callable[..., Tensor]]
State = dict[str, Tensor]


def bounded(run: Run) -> Callable[..., Tensor]:
    """The square of how far a mean is below a bound, beside a mean."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        (reached,) = run.batch_means((run.task.loss(model, first), first))
        return 3 * (1.5 - reached).relu() ** 2 + run.task.loss(model, second)

    return loss


def above_average(run: Run) -> Callable[..., Tensor]:
    """The square of a mean of what is told by another mean, which has no gradient itself."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        losses = run.task.losses(model, first)
        (mean,) = run.batch_means((losses.mean(), first))
        (above,) = run.batch_means(((losses - mean.detach()).relu().mean(), first))
        return above.square() + run.task.loss(model, second)

    return loss


def spread(run: Run) -> Callable[..., Tensor]:
    """The variance of losses: each is compared with all."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        (losses,) = run.whole_batch(run.task.losses(model, first))
        return losses.var(correction=0) + run.task.loss(model, second)

    return loss


def contrasted(run: Run) -> Callable[..., Tensor]:
    """A logarithm of a sum over one batch, times the number of samples of another."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        near, apart = run.whole_batch(run.task.losses(model, first), run.task.losses(model, second))
        return near.sum() - len(near) * apart.logsumexp(0)

    return loss


def selected(run: Run) -> Callable[..., Tensor]:
    """Of some samples, which are more on one piece than on another and may be none."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        (some,) = run.whole_batch(run.task.losses(model, first)[first.y == 0])
        return some.square().sum() + run.task.loss(model, second)

    return loss


def bounded_of_means(run: Run) -> Callable[..., Tensor]:
    """As `bounded`, but of whole batches alone."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        losses = run.task.loss(model, first), run.task.loss(model, second)
        reached, kept = run.batch_means((losses[0], first), (losses[1], second))
        return 3 * (1.5 - reached).relu() ** 2 + kept

    return loss


def one_way_back(run: Run) -> Callable[..., Tensor]:
    """Of two passes through the model one has no gradient."""

    def loss(model: nn.Module, first: Batch, second: Batch) -> Tensor:
        return run.task.loss(model, first).detach() + run.task.loss(model, second)

    return loss


UNEVEN: list[Loss] = [bounded_of_means, contrasted]  # of whole batches alone
LOSSES: list[Loss] = [bounded, above_average, spread, contrasted, selected]


def trained(
    samples: Samples, loss: Loss, *, uneven: bool = False, first: int = 19, precision: str = "float32", **options: Any
) -> State:
    """The weights after a pass in pairs of nine samples, and of the first that are left beside nine."""
    with computing(**options):
        run = Run(Classification(classes=3), device="cpu", precision=precision)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        parts = samples.select(samples.ids[:first]), samples.select(samples.ids[first:])
        optimizer = run.optimizer(model, SGD(learning_rate=0.05))
        for epoch in run.epochs("pairs", 1):
            run.fit(model, run.paired(*parts, 9, epoch), loss(run), optimizer, update=Update(uneven=uneven))
    return {name: value.clone() for name, value in run.whole(model).state_dict().items()}


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_pieces_go_down_the_loss_of_the_whole_batch(tiny: Samples, loss: Loss, pieces: int) -> None:
    assert 0 < largest_difference(trained(tiny, loss), trained(tiny, loss, accumulate=pieces)) < 1e-6


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("loss", UNEVEN)
def test_a_loss_of_whole_batches_alone_is_divided_whatever_their_sizes(
    tiny: Samples, loss: Loss, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[list[int]] = []
    of = Division.of

    def noting(self: Division, parts: Any, **options: Any) -> Any:
        cut.append([len(piece) for (piece, _), _ in of(self, parts, **options)])
        return of(self, parts, **options)

    monkeypatch.setattr(Division, "of", noting)
    divided = trained(tiny, loss, uneven=True, first=7, accumulate=pieces)
    assert cut == [[4, 3] if pieces == 2 else [3, 2, 2]]
    assert 0 < largest_difference(trained(tiny, loss, first=7), divided) < 1e-6


def test_two_processes_go_down_the_loss_of_the_whole_batch_in_pieces_too(tiny: Samples, tmp_path: Path) -> None:
    shards = hasattr(fsdp, "fully_shard")  # torch has it from 2.6 on
    ways: list[dict[str, Any]] = [{"parallel": "ddp"}, {"parallel": "ddp", "accumulate": 2}]
    ways += [{"parallel": "fsdp"}] if shards else []
    halved_by = "fsdp" if shards else "ddp"
    settings: list[tuple[Loss, dict[str, Any]]] = [(loss, {}) for loss in LOSSES]
    settings += [(loss, {"uneven": True, "first": 7}) for loss in UNEVEN]

    def work() -> tuple[list[list[State]], State]:
        states = [[trained(tiny, loss, **way, **options) for way in ways] for loss, options in settings]
        return states, trained(tiny, one_way_back, precision="bfloat16", parallel=halved_by)

    (first, halved), (second, _) = together(work, tmp_path / "group")
    assert largest_difference(trained(tiny, one_way_back, precision="bfloat16"), halved) < 5e-4  # rounding of bfloat16
    for (loss, options), states, others in zip(settings, first, second, strict=True):
        alone = trained(tiny, loss, **options)
        for state, other in zip(states, others, strict=True):
            assert largest_difference(state, other) == 0
            assert largest_difference(alone, state) < 1e-6


def test_a_bound_of_the_mean_of_a_part_is_not_that_of_the_batch(tiny: Samples) -> None:
    """What the two functions are for: without them the weights are others."""

    def unbounded(run: Run) -> Callable[..., Tensor]:
        return lambda model, first, _: (1.5 - run.task.loss(model, first)).relu() ** 2

    assert largest_difference(trained(tiny, unbounded), trained(tiny, unbounded, accumulate=2)) > 1e-4


def test_a_loss_is_computed_ahead_only_where_it_asks_and_each_question_costs_one_more(tiny: Samples) -> None:
    seen: list[bool] = []

    def counting(questions: int) -> Loss:
        def of(run: Run) -> Callable[..., Tensor]:
            def loss(model: nn.Module, first: Batch, _: Batch) -> Tensor:
                seen.append(torch.is_grad_enabled())
                value = run.task.loss(model, first)
                for _question in range(questions):
                    (value,) = run.batch_means((value, first))
                return value

            return loss

        return of

    counts: list[tuple[int, int]] = []
    for questions in range(3):
        seen.clear()
        trained(tiny.select(tiny.ids[:28]), counting(questions), accumulate=2)  # two pairs in pieces, and one whole
        counts.append((seen.count(False), seen.count(True) - 1))
    assert counts == [(0, 4), (4, 6), (8, 8)]  # a first piece begins anew for each question


def test_a_loss_that_asks_on_some_pieces_alone_is_refused(tiny: Samples) -> None:
    def of(run: Run) -> Callable[..., Tensor]:
        def loss(model: nn.Module, first: Batch, _: Batch) -> Tensor:
            value = run.task.loss(model, first)
            return run.batch_means((value, first))[0] if tiny.ids[0] in first.ids else value

        return loss

    with pytest.raises(MethodError, match="expected a loss that asks for the same of the whole batch"):
        trained(tiny, of, accumulate=2)


def test_what_a_piece_draws_is_its_own_in_every_computation_of_it(tiny: Samples) -> None:
    drawn: list[float] = []

    def of(run: Run) -> Callable[..., Tensor]:
        def loss(model: nn.Module, first: Batch, _: Batch) -> Tensor:
            drawn.append(float(torch.rand(len(first))[0]))
            return run.batch_means((run.task.loss(model, first), first))[0]

        return loss

    trained(tiny.select(tiny.ids[:28]), of, accumulate=2)
    begun, ahead, other_ahead, done, other = drawn[:5]
    assert begun == ahead == done != other == other_ahead
    assert drawn[5] != begun  # the next step's


def test_what_pieces_draw_does_not_change_what_is_drawn_after_them(tiny: Samples) -> None:
    """So processes go on alike, though one may have drawn for more samples than another."""
    drawn: list[Tensor] = []

    def prepare(batch: Batch) -> tuple[Batch]:
        drawn.append(torch.rand(3))
        return (batch,)

    with computing(accumulate=2), undisturbed():
        run, model = Run(Classification(classes=3), device="cpu"), nn.Sequential(nn.Linear(6, 3), nn.Dropout())
        optimizer = run.optimizer(model, SGD(learning_rate=0.1))
        torch.manual_seed(0)
        run.fit(model, run.batches(tiny, 20, 0), run.task.loss, optimizer, prepare=prepare)
        torch.manual_seed(0)
        assert all(values.equal(torch.rand(3)) for values in drawn)
    assert len(drawn) == 3


def test_dropout_draws_the_same_in_a_run_that_is_done_again(tiny: Samples) -> None:
    def noisy(run: Run) -> Callable[..., Tensor]:
        def loss(model: nn.Module, first: Batch, _: Batch) -> Tensor:
            return run.batch_means((nn.functional.dropout(model(first.x)).square().mean(), first))[0]

        return loss

    assert largest_difference(*(trained(tiny, noisy, accumulate=2) for _ in range(2))) == 0
