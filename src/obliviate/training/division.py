"""One model on several processes, or one batch in several pieces: who computes what of a step, and their sum."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.checkpoint import checkpoint

from obliviate.errors import RecipeError, TrainingError
from obliviate.training.compute import Compute
from obliviate.types import Batch


@dataclass(frozen=True)
class Division:
    """How every step is divided: among `processes`, of which this is number `rank`, and there into `pieces`.

    All processes draw the same batches and hold the same model, or with `sharded` a part of each weight, of its
    gradient and of the optimiser's state. What a step goes down is the loss of the whole batch, so that
    the weights are those of one process up to rounding: batches are cut in equal parts, or where a loss is given
    several batches that cannot be, everybody computes the whole of them.
    """

    processes: int = 1
    rank: int = 0
    pieces: int = 1
    sharded: bool = False

    @classmethod
    def current(cls) -> Division:
        """What `training.compute` asks for here; joins the processes that `torchrun` has started.

        Raises TrainingError where none were started.
        """
        compute = Compute.current()
        if compute.parallel is None:
            return cls(pieces=compute.accumulate)
        if compute.parallel == "fsdp":
            _check_fsdp()
        if not distributed.is_initialized():
            if "RANK" not in os.environ:
                raise TrainingError(
                    f"expected processes for parallel={compute.parallel!r}, got this one alone; start the script with "
                    "`torchrun --nproc-per-node=N` or `accelerate launch`"
                )
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        processes, rank = distributed.get_world_size(), distributed.get_rank()
        return cls(processes, rank, compute.accumulate, compute.parallel == "fsdp")

    @property
    def divides(self) -> bool:
        """Whether a batch is cut at all."""
        return self.processes * self.pieces > 1

    def place(self, device: torch.device) -> torch.device:
        """The GPU of this process among those of its machine, where they are on GPUs."""
        if self.processes > 1 and device.type == "cuda" and device.index is None:
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return device

    def of(self, parts: tuple[Any, ...], *, uneven: bool = False) -> list[tuple[tuple[Any, ...], float]]:
        """What this process computes of the parts of a step, each piece with the weight of its loss.

        Batches, tensors with rows and tuples of such are cut; whatever else is in the parts goes with every piece.

        >>> pieces = Division(pieces=2).of((torch.arange(4), torch.arange(4)))
        >>> [(first.tolist(), weight) for (first, _), weight in pieces]
        [([0, 1], 0.5), ([2, 3], 0.5)]
        """
        if not self.divides:
            return [(parts, 1.0)]
        shares = self.shares(parts, uneven=uneven)
        # Gradients of sharded weights are averaged by torch where others are added up here.
        average = self.processes if self.sharded else 1
        if shares is None:
            return [(parts, average / self.processes)]
        own = range(self.rank * self.pieces, (self.rank + 1) * self.pieces)
        pieces = list(zip(*(_cut(part, len(shares)) for part in parts), strict=True))
        return [(pieces[at], average * shares[at]) for at in own]

    def shares(self, parts: tuple[Any, ...], *, uneven: bool = False) -> list[float] | None:
        """Which share of the loss each piece has, of those of all processes; None where nobody cuts the parts.

        It is that of the samples, which several batches of other lengths must have in common; of an `uneven` loss,
        which is made of what the whole batch says, each piece has as much.

        >>> Division(processes=2).shares((torch.arange(3), "note")), Division(processes=2).shares(("note",))
        ([0.6666666666666666, 0.3333333333333333], None)
        """
        count, lengths = self.processes * self.pieces, [length for part in parts for length in _lengths(part)]
        if count == 1 or not lengths or min(lengths) < count:
            return None
        if uneven:
            return [1 / count] * count
        if len(set(lengths)) > 1 and any(length % count for length in lengths):
            return None
        total = lengths[0]
        return [len(piece) / total for piece in torch.arange(total).tensor_split(count)]

    def gathered(self, own: Sequence[Tensor]) -> list[Tensor]:
        """The tensors of all pieces, in their order, of which this process has `own`; they may differ in length."""
        if self.processes == 1:
            return list(own)
        lengths = torch.tensor([len(value) for value in own], device=own[0].device)
        of_all = [torch.empty_like(lengths) for _ in range(self.processes)]
        distributed.all_gather(of_all, lengths)
        rows = torch.cat(list(own))
        padded = rows.new_zeros(max(1, *(int(each.sum()) for each in of_all)), *rows.shape[1:])
        padded[: len(rows)] = rows
        held = [torch.empty_like(padded) for _ in range(self.processes)]
        distributed.all_gather(held, padded)
        return [
            piece
            for values, each in zip(held, of_all, strict=True)
            for piece in values[: int(each.sum())].split(each.tolist())
        ]

    def add_up(self, weights: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Add up the gradients of all processes, and return the sum of their losses."""
        if self.processes == 1:
            return loss
        total = loss.detach().clone()
        if not self.sharded:
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(flat)
            for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(summed.view_as(gradient))
        distributed.all_reduce(total)
        return total / self.processes if self.sharded else total

    def shard(self, model: nn.Module) -> nn.Module | None:
        """Let each process hold a part of each weight (FSDP2), and return what `whole` makes a plain model of again.

        None for a model that is in parts already, or that no process holds a part of.
        """
        if not self.sharded:
            return None
        from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

        if isinstance(model, FSDPModule):
            return None
        plain = copy.deepcopy(model)
        for block in blocks(model):
            fully_shard(block)
        fully_shard(model)
        if hasattr(model, "embed"):  # the other way into a model of tokens (`task.InputSpace.live`)
            register_fsdp_forward_method(model, "embed")
        return plain


def _check_fsdp() -> None:
    """Refuse a torch that cannot hold weights in parts; raises TrainingError."""
    try:
        from torch.distributed.fsdp import fully_shard  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            f"expected torch 2.6 or later for parallel='fsdp', got {torch.__version__}; update it, or use 'ddp'"
        ) from error


def alike(values: Tensor, weight: Tensor) -> Tensor:
    """Return values for each number of a weight as this process holds the weight: all of them, or its part."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    return distribute_tensor(values, weight.device_mesh, weight.placements) if isinstance(weight, DTensor) else values


def whole(model: nn.Module, plain: nn.Module) -> nn.Module:
    """Give the plain model, which is changed and returned, the weights and modes of the one that is in parts."""
    from torch.distributed.tensor import DTensor

    state = {
        name: held.full_tensor() if isinstance(held, DTensor) else held for name, held in model.state_dict().items()
    }
    plain.load_state_dict(state)
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in plain.named_modules():
        module.training = modes[name]
    return plain


def blocks(model: nn.Module) -> list[nn.Module]:
    """The members of the outermost lists of layers, which have weights and no statistics of batches.

    >>> [type(block).__name__ for block in blocks(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))]
    ['Linear', 'Linear']
    """
    layers: list[nn.Module] = []
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if isinstance(module, nn.Sequential | nn.ModuleList):
            layers.extend(child for child in module if any(True for _ in child.parameters()))
        else:
            waiting.extend(module.children())
    return [block for block in layers if not norms(block)]


def norms(model: nn.Module) -> list[nn.Module]:
    """The layers whose answer for a sample depends on the others of its batch."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def recomputing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Keep nothing between the `blocks` of a model for the way back, and compute it again there.

    It takes less memory and a third more time, and changes no bit.
    """
    if not wanted:
        yield
        return
    before = {block: block.__dict__.get("forward") for block in blocks(model)}
    for block in before:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block, forward in before.items():
            if forward is None:
                del block.forward
            else:
                block.forward = forward


def check_alone(folder: Path) -> None:
    """Refuse to keep anything in a folder where several processes would do so at once; raises TrainingError."""
    if (parallel := Compute.current().parallel) is not None:
        raise TrainingError(
            f"expected one process for what is kept in {folder}, got parallel={parallel!r}; leave out the folder, or "
            "parallel="
        )


def check_divisible(model: nn.Module, *, weighted: bool) -> None:
    """Refuse what makes the loss of a batch another than that of its pieces together.

    Raises TrainingError for layers that normalise by a batch, and RecipeError for a loss that is weighted over it.
    """
    if layers := norms(model):
        raise TrainingError(
            f"expected a model that answers each sample by itself, to divide batches, got {len(layers)} "
            f"{type(layers[0]).__name__}, whose statistics would be those of pieces; use a model with group or layer "
            "norms, or leave out parallel= and accumulate="
        )
    if weighted:
        raise RecipeError(
            "expected a loss that is a mean over samples, to divide batches, got class weights; leave out one of both"
        )


def _lengths(part: Any) -> list[int]:
    """How many rows a part has, of a tuple each of its members; none where it is no rows."""
    if isinstance(part, tuple):
        return [length for member in part for length in _lengths(member)]
    return [len(part)] if isinstance(part, Batch) or (isinstance(part, Tensor) and part.ndim > 0) else []


def _cut(part: Any, count: int) -> Sequence[Any]:
    """A part in pieces; what is no rows goes with each of them."""
    if isinstance(part, tuple):
        return list(zip(*(_cut(member, count) for member in part), strict=True)) if part else [part] * count
    if not _lengths(part):
        return [part] * count
    if isinstance(part, Tensor):
        return part.tensor_split(count)
    names = [part.ids[rows.numpy()] for rows in torch.arange(len(part)).tensor_split(count)]
    return [
        Batch(x, y, ids)
        for x, y, ids in zip(part.x.tensor_split(count), part.y.tensor_split(count), names, strict=True)
    ]
