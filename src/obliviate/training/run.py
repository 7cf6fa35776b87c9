"""The engine that every training and every method runs on: resumable, deterministic, on any device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from obliviate._util.modes import freeze_untrained
from obliviate._util.randomness import seed_generators
from obliviate._util.seeds import derive
from obliviate.data.loading import Batches, PairedBatches, bounded
from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.models.ensemble import Ensemble
from obliviate.task import Task
from obliviate.training import by_recipe, optimizers, schedules, shards
from obliviate.training.clock import Clock
from obliviate.training.compute import Compute
from obliviate.training.descent import Descent, Loss, check_finite, normalising
from obliviate.training.determinism import repeatable
from obliviate.training.division import check_divisible
from obliviate.training.form import Form, prepared, released
from obliviate.training.placement import Placed, Placement
from obliviate.training.precision import Precision
from obliviate.training.progress import Epoch, Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.training.resumption import Resumption
from obliviate.training.saved_state import Stateful
from obliviate.training.scale import Scale, found_scale
from obliviate.training.teachers import Teachers
from obliviate.training.update import PLAIN, Update
from obliviate.training.warmup import warm_up
from obliviate.types import Batch


class Run:
    """The engine of a training or a method: where things are, which batches come, how steps are taken, what is kept.

    *Where*: `place` puts a model, a split, samples, a batch or a tensor on the device, samples once. *Which*: `batches`
    and `paired` are shuffled passes, `in_order` plain ones for looking at samples; `augmented` reads them through the
    recipe's augmentation. *How*: `optimizer` and `schedule` are made here; `fit` takes the steps of a pass, `step` a
    single one, in the right precision, with gradient masks, scales, clipping and accumulation; where batches are
    divided, `batch_means` and `whole_batch` tell a loss what the whole batch says. *What*: `epochs` and `once` keep the
    state and resume. No method calls `backward` or `to`, or makes an optimiser.

    With a `folder`, a killed run resumes there and ends with the same weights, bit for bit, as an uninterrupted
    one: batch order and all other randomness are functions of (seed, epoch), so only models and optimisers are stored.
    The folder must belong to this very run (same data, method, model and seed). What was saved carries a hash: a stage
    whose state is damaged starts over, which is said as a warning of the logger "obliviate".

    `task` is the one that is given, with the class weights of the recipe in the loss that is trained on.

    `checkpoints` is the folder with the slice checkpoints of models that were trained in shards; `sisa` begins from
    them, and leaves its own there.

    `device`, `precision`, `workers` (`loader_workers` there) and `evaluation_batch` are those of `training.compute` if
    left out, or the recipe's precision. `save_every` is the least time, in seconds, between two saves of the state.
    `teachers` are models that methods which need such may ask. `notes` are figures that a method wants to see in the
    results, such as the share of examples found.

    Raises TrainingError for a device that is not there.

    >>> from obliviate.task import Classification
    >>> from obliviate.training.optimizers import SGD
    >>> samples = Samples.from_tensors(torch.rand(6, 4), torch.arange(6) % 2)
    >>> run, model = Run(Classification(classes=2), device="cpu"), nn.Linear(4, 2)
    >>> optimizer = run.optimizer(model, SGD(learning_rate=0.1))
    >>> for epoch in run.epochs("train", 3, model=model, optimizer=optimizer):
    ...     _ = run.fit(model, run.batches(samples, 2, epoch), run.task.loss, optimizer)
    >>> epoch
    2
    """

    def __init__(
        self,
        task: Task,
        *,
        seed: int = 0,
        recipe: Recipe | None = None,
        device: torch.device | str | None = None,
        precision: str | None = None,
        folder: Path | None = None,
        checkpoints: Path | None = None,
        progress: Progress = silent,
        workers: int | None = None,
        evaluation_batch: int | None = None,
        save_every: float = 5.0,
        teachers: Teachers | None = None,
    ) -> None:
        self.task = task if recipe is None else recipe.weighted(task)
        self.seed = seed
        self.recipe = recipe
        self.checkpoints = checkpoints
        self.progress: Progress = progress
        compute = Compute.current()
        self.workers = compute.loader_workers if workers is None else workers
        self.evaluation_batch = compute.evaluation_batch if evaluation_batch is None else evaluation_batch
        self.teachers = teachers
        self.notes: dict[str, float] = {}
        self._clock = Clock()
        self._placement = Placement.choose(device, precision or (recipe.precision if recipe else "auto"))
        self._descent = Descent(self._placement, seed=seed, recomputes=compute.gradient_checkpointing)
        self.division, self.device = self._placement.division, self._placement.device
        self._resumption = Resumption(folder, save_every=save_every, clock=self._clock, device=self.device)

    @property
    def precision(self) -> Precision:
        """The number format of steps, and the memory order of images, which `laid_out` may change."""
        return self._placement.precision

    @property
    def folder(self) -> Path | None:
        """Where what it resumes from is kept; None where nothing is."""
        return self._resumption.folder

    @property
    def save_every(self) -> float:
        """The least time between two saves of the state, in seconds."""
        return self._resumption.save_every

    @property
    def seconds(self) -> float:
        """The time spent on this run so far: that before an interruption included, `untimed` parts left out."""
        return self._clock.seconds

    def untimed(self) -> AbstractContextManager[None]:
        """Leave what is done inside out of `seconds`: checks, measuring, and what a process does once."""
        return self._clock.untimed()

    def spent(self, seconds: float) -> None:
        """Count what an interrupted run of the same work had spent by the state that is gone on from."""
        self._clock.spent(seconds)

    def warm_up(self, model: nn.Module, samples: Samples) -> None:
        """Let the process do what it does once before a first step, outside of `seconds` (`training.warmup`)."""
        with self.untimed():
            warm_up(model, samples, self.task, self.precision)

    @contextmanager
    def reporting(self, progress: Progress) -> Iterator[None]:
        """Report progress to somebody else inside."""
        before, self.progress = self.progress, progress
        try:
            yield
        finally:
            self.progress = before

    def place(self, value: Placed) -> Placed:
        """Put a value on this run's device: samples are copied once however often they are asked for.

        A model is moved itself, its convolutions in channels-last order, as the images of a batch are. Of samples only
        what is held in memory moves, and what is read on demand goes batch by batch.
        """
        return self._placement.place(value)

    def fresh_model(self) -> nn.Module:
        """Build a model with new weights by the recipe, prepared as `private` does it."""
        if self.recipe is None:
            raise MethodError("expected a recipe, got none; pass the recipe that trained the original model")
        model = self.recipe.build(seed=derive(self.seed, "weights"))
        if isinstance(model, Ensemble):
            for constituent in model.constituents:
                prepared(constituent, self.task)
        return self.place(prepared(model, self.task))

    def private(self, model: nn.Module, samples: Samples) -> nn.Module:
        """Copy a model for a method to work on: placed, and called with inputs of the task for the tensor it reads.

        Models that answer with a tuple, a mapping or one logit, of other number formats, with frozen norms, or with
        layers that need images in the order of their axes can then be trained as any other (`training.form.prepared`).
        `samples` are some that it takes. `give_back` undoes it.
        """
        return self.laid_out(self.place(prepared(copy.deepcopy(model), self.task)), samples)

    def laid_out(self, model: nn.Module, samples: Samples) -> nn.Module:
        """Put images, and a placed model, into the order of their axes where the model cannot do with channels last.

        The decision holds for the whole run.
        """
        return self._placement.laid_out(model, samples)

    def give_back(self, model: nn.Module, form: Form, *, flags: bool = True) -> nn.Module:
        """Return a model in the form of another, as it came: device, number format, memory order and modes.

        `flags` includes which weights train.
        """
        return form.restored(released(self.whole(model)), flags=flags)

    def whole(self, model: nn.Module) -> nn.Module:
        """Return a model of which this process holds a part as a plain one, and any other as it is."""
        return self._placement.whole(model)

    def finished(self, model: nn.Module) -> nn.Module:
        """Return a model that `train` has trained as the recipe builds it, in evaluation mode, on this run's device."""
        assert self.recipe is not None
        return self.give_back(model, Form.of(self.recipe.build(seed=0)).on(self.device)).eval()

    def batches(self, samples: Samples, size: int, epoch: int) -> Batches:
        """Shuffled batches of one pass over the samples."""
        seed = derive(self.seed, "batches")
        return Batches(self.place(samples), size, seed=seed, epoch=epoch, workers=self.workers)

    def in_order(self, samples: Samples, size: int | None = None) -> Iterator[Batch]:
        """Batches of the samples as they stand, on the device, to look at: of the evaluation batch, or smaller ones.

        Images keep their layout; `place` gives a batch the one that steps are fast in.
        """
        size = bounded(samples, self.evaluation_batch if size is None else min(size, self.evaluation_batch))
        for batch in Batches(self.place(samples), size, workers=self.workers):
            yield batch.to(self.device)

    def augmented(self, samples: Samples) -> Samples:
        """Read the placed samples through the original recipe's augmentation, if a recipe is known."""
        samples = self.place(samples)
        return samples if self.recipe is None else self.recipe.augmented(samples)

    def paired(
        self, forget: Samples, retain: Samples, size: int, epoch: int, *, steps: Literal["forget", "longest"] = "forget"
    ) -> PairedBatches:
        """Pair shuffled forget batches with retain batches; the shorter set cycles."""
        seed = derive(self.seed, "paired")
        forget, retain = self.place(forget), self.place(retain)
        return PairedBatches(forget, retain, size, seed, epoch, steps, self.workers)

    def schedule(self, schedule: str | Callable[[float], float], optimizer: Optimizer, *, steps: int) -> LRScheduler:
        """Attach a learning-rate schedule (see `training.schedules`) that ends after `steps` optimiser steps."""
        return schedules.make(schedule, optimizer, steps=steps)

    def optimizer(
        self, model: nn.Module, steps: optimizers.Steps, *, learning_rate: float | str | None = None
    ) -> Optimizer:
        """Make the optimiser that a settled method names, of all parameters of a model or of a part of it.

        `steps` are the method's own settings, or `optimizers.SGD` or `optimizers.Adam` where they are no fields of it;
        `learning_rate` replaces theirs. Raises MethodError for settings that are no numbers yet, and for a model of
        which nothing is trainable.
        """
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise MethodError(
                f"expected a model with trainable weights, got {type(model).__name__} with none; let those train that "
                "may change, with `model.requires_grad_(True)`"
            )
        return optimizers.make(self._placement.divided(model), steps, learning_rate=learning_rate)

    def scale(self, model: nn.Module, samples: Samples) -> Scale:
        """Say what relative settings are multiples and shares of: the recipe, or what a search on the model finds.

        The search (`training.scale`) works on copies, its time counts as the method's, and `notes` say its rate.
        """
        if self.recipe is not None and Scale.is_known_of(self.recipe):
            return Scale.of(self.recipe)
        self.warm_up(model, samples)
        with self._clock.timed():
            scale = found_scale(self.private(model, samples), samples, self.task, seed=self.seed)
        self.notes["found_learning_rate"] = scale.learning_rate
        return scale

    def epochs(self, name: str, n: int, **state: Stateful | dict[str, Any]) -> Iterator[int]:
        """Yield the epochs that are still to do, of 0 … n−1, with `state` restored from the last one that was done.

        `state` names everything that changes from epoch to epoch: models, optimisers, schedulers, and dictionaries of
        tensors and numbers. Each epoch begins with its own seed of torch's global generator; the generator's state
        is given back at the end.
        """
        first = self._resumption.restore(name, state)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), repeatable(self.device):
            for epoch in range(first, n):
                seed_generators(derive(self.seed, name, epoch))
                self._descent.begin(Epoch(name, epoch, n))
                yield epoch
                self._resumption.save(name, state, done=epoch + 1)
                self.progress(name, epoch + 1, n)

    def fit(
        self,
        model: nn.Module,
        batches: Iterable[Batch | tuple[Batch, ...]],
        loss: Loss,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        update: Update = PLAIN,
        training: bool = True,
        prepare: Callable[..., tuple[Any, ...]] | None = None,
    ) -> float:
        """Take one optimiser step per batch and return the mean loss.

        `update` says how batches may be cut and what becomes of gradients. `training=False` keeps batch-norm statistics
        and dropout frozen, as they always are in modules of which all weights are (`requires_grad_(False)`). A batch of
        a single sample is normalised by the statistics so far where it has none of its own. `prepare` turns the batches
        of each step into what the loss receives besides the model; a method that alternates between two models takes
        the other one's `step` there.

        Raises TrainingError when the loss is not finite.
        """
        freeze_untrained(model.train(training))
        total, count, epoch = torch.zeros((), device=self.device), 0, self._descent.epoch
        report = epoch.reporter(self.progress, len(batches) if isinstance(batches, Sized) else 0)
        placed = (tuple(map(self.place, batch if isinstance(batch, tuple) else (batch,))) for batch in batches)
        while group := list(islice(placed, update.accumulate)):
            sizes = [sum(map(len, parts)) for parts in group]
            with normalising(model, group):
                if prepare is not None:
                    group = [prepare(*parts) for parts in group]
                total += len(group) * self._descent.step(model, group, sizes, loss, optimizer, update)
            if scheduler is not None:
                scheduler.step()
            count += len(group)
            report(count)
        mean = float(total) / max(count, 1)
        check_finite(mean, epoch, optimizer)
        return mean

    def step(
        self, model: nn.Module, parts: tuple[Any, ...], loss: Loss, optimizer: Optimizer, *, update: Update = PLAIN
    ) -> Tensor:
        """Take one optimiser step down `loss(model, *parts)`, in this run's precision, and return the loss.

        It is what `fit` does with every batch; the parts are on the device, and nothing is accumulated.
        """
        with normalising(model, [parts]):
            return self._descent.step(model, [parts], [1], loss, optimizer, update)

    def batch_means(self, *means: tuple[Float[Tensor, ""], Sized]) -> tuple[Float[Tensor, ""], ...]:
        """Return means over whole batches, of what a loss has computed as means over the samples that stand beside.

        They are the same tensors where one process computes whole batches. Where batches are divided
        (`training.division`), a loss sees a part of each, and by itself only a mean over samples comes out right:
        whatever else it does with a mean (a bound, a square, a choice), it does with these. See `whole_batch`.

        >>> from obliviate.task import Classification
        >>> run = Run(Classification(classes=2), device="cpu")
        >>> def bounded(model: nn.Module, batch: Batch) -> Tensor:
        ...     (reached,) = run.batch_means((run.task.loss(model, batch), batch))
        ...     return (2.5 - reached).relu() ** 2
        >>> samples = Samples.from_tensors(torch.rand(6, 4), torch.arange(6) % 2)
        >>> bounded(nn.Linear(4, 2), samples.everything()).shape
        torch.Size([])
        """
        return self._descent.means(*means)

    def whole_batch(self, *values: Float[Tensor, "_ ..."]) -> tuple[Float[Tensor, "_ ..."], ...]:
        """Return the rows of the whole batch, with their gradients, of which a loss has computed those of its part.

        They are the same tensors where one process computes whole batches. Where batches are divided, a loss that
        compares samples with each other takes the outputs of all of them, and goes on as if nothing were divided:
        with targets that go along whole, as whatever `prepare` returns in an object that is no batch, tensor or tuple.

        A loss is then a sum of means over the samples of a part and of what is made of whole batches alone. Where all
        of it is the latter, `Update(uneven=True)` cuts batches of any sizes. What every part asks for is the same, and
        all at once, since each question costs another computation of the parts where `accumulate` makes several.

        >>> from obliviate.task import Classification
        >>> run = Run(Classification(classes=2), device="cpu")
        >>> (losses,) = run.whole_batch(torch.tensor([1.0, 3.0]))
        >>> losses.max()
        tensor(3.)
        """
        return self._descent.rows(*values)

    def once(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Compute an artefact once, for example adversarial examples or a mask; a resumed run reads it back."""
        return self._resumption.once(name, make)

    def train(
        self, samples: Samples, *, checkpoints: Path | None = None, begun: shards.SliceCheckpoints | None = None
    ) -> nn.Module:
        """Train a fresh model on the samples by the recipe, or by its training function (`training.own`).

        A recipe with shards trains an ensemble (`training.shards.train`); under `checkpoints` it keeps the weights
        after every slice. `begun` are those of an earlier training: what they have seen of just these samples is not
        trained again.

        Raises RecipeError when a shard would be empty, or when checkpoints are asked of a recipe without shards.
        """
        return by_recipe.train(self, samples, checkpoints=checkpoints, begun=begun)

    def check_divisible(self, model: nn.Module, samples: Samples) -> None:
        """Refuse, where batches are divided, a model and a loss that this changes; raises as `training.division`."""
        if self.division.divides:
            first = samples.take(torch.arange(1))
            check_divisible(model, weighted=self.task.weights(first.y) is not None)

    def train_stage(self, name: str, model: nn.Module, samples: Samples, epochs: int, *, first: int = 0) -> None:
        """Train for some epochs by the recipe, with an optimiser and a schedule of their own, from batch order `first`.

        Raises MethodError without a recipe.
        """
        if self.recipe is None:
            raise MethodError("expected a recipe to train by, got none; pass the recipe of the original model")
        recipe = self.recipe
        if not epochs:
            return
        source = self.augmented(samples)
        optimizer = recipe.make_optimizer(self._placement.divided(model))
        steps = epochs * len(self.batches(source, recipe.batch_size, 0))
        scheduler = self.schedule(recipe.factor, optimizer, steps=steps)
        for epoch in self.epochs(name, epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = self.batches(source, recipe.batch_size, first + epoch)
            self.fit(model, batches, self.task.loss, optimizer, scheduler=scheduler)
