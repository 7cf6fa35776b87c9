"""The engine that every training and every method runs on: resumable, deterministic, on any device."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from obliviate._util.files import start_over
from obliviate._util.modes import differentiable, freeze_untrained, normalising_alone
from obliviate._util.randomness import seed_generators
from obliviate._util.seeds import derive
from obliviate.data.loading import Batches, PairedBatches, bounded
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import CheckpointError, MethodError, RecipeError, TrainingError, WorkspaceError
from obliviate.models.admission import check_trainable
from obliviate.models.ensemble import Ensemble
from obliviate.task import InputSpace, Task
from obliviate.training import optimizers, own, schedules, shards
from obliviate.training.compute import Compute
from obliviate.training.determinism import repeatable
from obliviate.training.device import chosen
from obliviate.training.division import Division, check_alone, check_divisible, recomputing, whole
from obliviate.training.form import Form, prepared, released, unread
from obliviate.training.precision import Precision
from obliviate.training.recipe import Recipe
from obliviate.training.saved_state import State, Stateful, restore_state, save_state
from obliviate.training.scale import Scale, found_scale
from obliviate.training.teachers import Teachers
from obliviate.training.tensors import load_tensors, save_tensors
from obliviate.training.update import PLAIN, Update
from obliviate.training.warmup import warm_up
from obliviate.training.whole_batch import WholeBatch
from obliviate.types import Batch

Loss = Callable[..., Tensor]
"""A scalar loss of (model, batch), or of (model, forget batch, retain batch) for paired batches."""

P = TypeVar("P", nn.Module, Split, Samples, Batch, Tensor, InputSpace)

TICK: Final = 0.1  # seconds between two reports of progress


@runtime_checkable
class Progress(Protocol):
    """Is told what is being done, and how far it is."""

    def __call__(self, stage: str, done: float, total: float) -> None: ...


def silent(stage: str, done: float, total: float) -> None:
    """Report no progress."""


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
        compute = Compute.current()
        self.division = Division.current()
        if folder is not None:
            check_alone(folder)
        self.device = self.division.place(chosen(device))
        named = precision or (recipe.precision if recipe else "auto")
        self.precision = Precision.choose(compute.precision if named == "auto" else named, self.device)
        self.folder = folder
        self.checkpoints = checkpoints
        self.progress: Progress = progress
        self.workers = compute.loader_workers if workers is None else workers
        self.evaluation_batch = compute.evaluation_batch if evaluation_batch is None else evaluation_batch
        self.save_every = save_every
        self.teachers = teachers
        self.notes: dict[str, float] = {}
        self._on_device: WeakKeyDictionary[Samples, Samples] = WeakKeyDictionary()
        self._plain: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
        self._recomputes = compute.gradient_checkpointing
        self._stage: tuple[str, int, int] = ("", 0, 1)
        self._whole_batch: WholeBatch | None = None
        self._batches_divided = 0
        self._began = self._saved = time.monotonic()
        self._before = 0.0
        self._stopped = False

    @property
    def seconds(self) -> float:
        """The time spent on this run so far: that before an interruption included, `untimed` parts left out."""
        return self._before + time.monotonic() - self._began

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Leave what is done inside out of `seconds`: checks, measuring, and what a process does once."""
        if self._stopped:  # by whoever called this
            yield
            return
        self._stopped, started = True, time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - started
            self._stopped = False

    def warm_up(self, model: nn.Module, samples: Samples) -> None:
        """Let the process do what it does once before a first step, outside of `seconds` (`training.warmup`)."""
        with self.untimed():
            warm_up(model, samples, self.task, self.precision)

    def spent(self, seconds: float) -> None:
        """Count what an interrupted run of the same work had spent by the state that is gone on from."""
        self._before = max(self._before, seconds)

    @contextmanager
    def reporting(self, progress: Progress) -> Iterator[None]:
        """Report progress to somebody else inside."""
        before, self.progress = self.progress, progress
        try:
            yield
        finally:
            self.progress = before

    def place(self, value: P) -> P:
        """Put a value on this run's device: samples are copied once however often they are asked for.

        A model is moved itself, its convolutions in channels-last order, as the images of a batch are. Of samples only
        what is held in memory moves, and what is read on demand goes batch by batch.
        """
        if isinstance(value, Samples):
            return self._moved(value)
        if isinstance(value, Split):
            sets = (value.forget, value.retain, value.holdout)
            forget, retain, holdout = (None if part is None else self._moved(part) for part in sets)
            assert forget is not None
            return Split(forget, retain, holdout)
        if isinstance(value, Batch):
            return Batch(self.precision.inputs(value.x), value.y.to(self.device), value.ids)
        return self.precision.prepare(value) if isinstance(value, nn.Module) else value.to(self.device)

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
        precision = self.precision.laid_out_for(model, samples)
        if precision == self.precision:
            return model
        self.precision = precision
        return self.place(model)

    def give_back(self, model: nn.Module, form: Form, *, flags: bool = True) -> nn.Module:
        """Return a model in the form of another, as it came: device, number format, memory order and modes.

        `flags` includes which weights train.
        """
        return form.restored(released(self.whole(model)), flags=flags)

    def whole(self, model: nn.Module) -> nn.Module:
        """Return a model of which this process holds a part as a plain one, and any other as it is."""
        plain = self._plain.get(model)
        return model if plain is None else whole(model, plain)

    def _divided(self, model: nn.Module) -> nn.Module:
        """The same model, of which this process goes on to hold a part where that is asked for."""
        if (plain := self.division.shard(model)) is not None:
            self._plain[model] = plain
        return model

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
        self,
        forget: Samples,
        retain: Samples,
        size: int,
        epoch: int,
        *,
        steps: Literal["forget", "longest"] = "forget",
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
        return optimizers.make(self._divided(model), steps, learning_rate=learning_rate)

    def scale(self, model: nn.Module, samples: Samples) -> Scale:
        """Say what relative settings are multiples and shares of: the recipe, or what a search on the model finds.

        The search (`training.scale`) works on copies, its time counts as the method's, and `notes` say its rate.
        """
        if self.recipe is not None and Scale.is_known_of(self.recipe):
            return Scale.of(self.recipe)
        self.warm_up(model, samples)
        started = time.monotonic()
        private = self.private(model, samples)
        scale = found_scale(private, samples, self.task, seed=self.seed)
        self.notes["found_learning_rate"] = scale.learning_rate
        if self._stopped:
            self._began -= time.monotonic() - started
        return scale

    def epochs(self, name: str, n: int, **state: Stateful | dict[str, Any]) -> Iterator[int]:
        """Yield the epochs that are still to do, of 0 … n−1, with `state` restored from the last one that was done.

        `state` names everything that changes from epoch to epoch: models, optimisers, schedulers, and dictionaries of
        tensors and numbers. Each epoch begins with its own seed of torch's global generator; the generator's state
        is given back at the end.
        """
        path = None if self.folder is None else self.folder / f"{name}.pt"
        first = 0 if path is None or not path.exists() else self._restored(path, state)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), repeatable(self.device):
            for epoch in range(first, n):
                seed_generators(derive(self.seed, name, epoch))
                self._stage, self._batches_divided = (name, epoch, n), 0
                yield epoch
                if path is not None and time.monotonic() - self._saved >= self.save_every:
                    save_state(path, state, done=epoch + 1, seconds=self.seconds)
                    self._saved = time.monotonic()
                self.progress(name, epoch + 1, n)

    def _restored(self, path: Path, state: State) -> int:
        """How many epochs are done; none where what was saved is damaged."""
        try:
            done, seconds = restore_state(path, state, device=self.device)
        except WorkspaceError as error:
            start_over(path, error)
            return 0
        self.spent(seconds)
        return done

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
        total, count, last_report = torch.zeros((), device=self.device), 0, time.monotonic()
        steps = len(batches) if isinstance(batches, Sized) else 0
        placed = (tuple(map(self.place, batch if isinstance(batch, tuple) else (batch,))) for batch in batches)
        while group := list(islice(placed, update.accumulate)):
            sizes = [sum(map(len, parts)) for parts in group]
            with _normalising(model, *group):
                if prepare is not None:
                    group = [prepare(*parts) for parts in group]
                total += len(group) * self._step(model, group, sizes, loss, optimizer, update)
            if scheduler is not None:
                scheduler.step()
            count += len(group)
            if steps and (now := time.monotonic()) - last_report >= TICK:
                last_report = now
                name, epoch, n = self._stage
                self.progress(name, epoch + count / steps, n)
        mean = float(total) / max(count, 1)
        if not math.isfinite(mean):
            name, epoch, _ = self._stage
            rate = optimizer.param_groups[0]["lr"]
            raise TrainingError(
                f"expected a finite loss, got {mean} in epoch {epoch + 1} of {name} (learning rate now {rate:.3g}); "
                "lower the learning rate"
            )
        return mean

    def step(
        self,
        model: nn.Module,
        parts: tuple[Any, ...],
        loss: Loss,
        optimizer: Optimizer,
        *,
        update: Update = PLAIN,
    ) -> Tensor:
        """Take one optimiser step down `loss(model, *parts)`, in this run's precision, and return the loss.

        It is what `fit` does with every batch; the parts are on the device, and nothing is accumulated.
        """
        with _normalising(model, parts):
            return self._step(model, [parts], [1], loss, optimizer, update)

    def _step(
        self,
        model: nn.Module,
        group: Sequence[tuple[Any, ...]],
        sizes: Sequence[int],
        loss: Loss,
        optimizer: Optimizer,
        update: Update,
    ) -> Tensor:
        """Take one step down the mean of the losses of some batches in proportion to their sizes, and return it."""
        optimizer.zero_grad(set_to_none=True)
        values = [
            value
            for parts, size in zip(group, sizes, strict=True)
            for value in self._descended(model, parts, loss, size / sum(sizes), update.uneven)
        ]
        value = values[0] if len(values) == 1 else torch.stack(values).sum()
        # The walk takes a tenth of a small network's step.
        weights = _trained(model) if update.changes_steps or self.division.processes > 1 else {}
        value = self.division.add_up(list(weights.values()), value)
        update.take(optimizer, weights, sharded=self.division.sharded)
        return value

    def _descended(
        self, model: nn.Module, parts: tuple[Any, ...], loss: Loss, weight: float, uneven: bool
    ) -> list[Tensor]:
        """Add the gradient of a batch's weighted loss, and return the weighted loss of each piece that is done here."""
        if not self.division.divides:
            return [self._descend(model, parts, loss, weight)]
        self._batches_divided += 1
        seed = derive(self.seed, "pieces", *self._stage[:2], self._batches_divided)

        def look(piece: tuple[Any, ...]) -> None:
            with torch.no_grad(), differentiable(model), self.precision.autocast():
                loss(model, *piece)

        self._whole_batch = WholeBatch(self.division, parts, uneven=uneven, seed=seed, device=self.device)
        try:
            return self._whole_batch.computed(
                lambda piece, share: self._descend(model, piece, loss, weight * share), look
            )
        finally:
            self._whole_batch = None

    def _descend(self, model: nn.Module, parts: tuple[Any, ...], loss: Loss, weight: float) -> Tensor:
        """Add the gradient of the weighted loss to that of the weights, and return the weighted loss."""
        with differentiable(model), recomputing(model, self._recomputes):
            # A cast that two passes share reaches weights in parts after the second has given its gradient away.
            with self.precision.autocast(cached=not self.division.sharded):
                value = loss(model, *parts)
            if weight != 1:
                value = weight * value
            if not value.requires_grad:
                raise RecipeError(
                    f"expected a loss that depends on the weights of {type(model).__name__}, got one without a "
                    "gradient; remove `.detach()`, `torch.no_grad()` and `.argmax()` from its `forward`"
                )
            value.backward()
        return value.detach()

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
        return tuple(mean for mean, _ in means) if self._whole_batch is None else self._whole_batch.means(*means)

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
        return values if self._whole_batch is None else self._whole_batch.rows(*values)

    def once(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Compute an artefact once, for example adversarial examples or a mask; a resumed run reads it back."""
        path = None if self.folder is None else self.folder / f"{name}.safetensors"
        if path is not None and path.exists():
            try:
                tensors, facts = load_tensors(path)
            except CheckpointError as error:
                start_over(path, error)
            else:
                self.spent(float(facts["seconds"]))
                return {key: self.place(value) for key, value in tensors.items()}
        tensors = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, tensors, {"seconds": str(self.seconds)})
        return tensors

    def train(
        self, samples: Samples, *, checkpoints: Path | None = None, begun: shards.SliceCheckpoints | None = None
    ) -> nn.Module:
        """Train a fresh model on the samples by the recipe, or by its training function (`training.own`).

        A recipe with shards trains an ensemble (`training.shards.train`); under `checkpoints` it keeps the weights
        after every slice. `begun` are those of an earlier training: what they have seen of just these samples is not
        trained again.

        Raises RecipeError when a shard would be empty, or when checkpoints are asked of a recipe without shards.
        """
        recipe = self.recipe
        if self.division.divides:
            self._check_division(samples)
        if recipe is not None and recipe.sharded:
            return shards.train(self, samples, checkpoints=checkpoints, begun=begun)
        if checkpoints is not None:
            raise RecipeError(
                "expected a recipe with shards or slices to keep checkpoints of, got one without; "
                "leave out `checkpoints`, or train by `Recipe(shards=5, slices=10)`"
            )
        if recipe is not None:
            recipe.check_trainable()
        model = self.laid_out(self.fresh_model(), samples)
        if recipe is not None and recipe.train is not None:
            with repeatable(self.device):
                # Somebody's own loop reads what the model answers by itself, a mapping or one logit for two classes.
                model = own.train(recipe.train, unread(model), samples, seed=self.seed, device=self.device)
            self.progress("train", 1, 1)
            return self.place(prepared(model, self.task)).eval()
        check_trainable(model)
        self.warm_up(model, samples)
        assert recipe is not None
        self.train_stage("train", model, samples, recipe.epochs)
        return model.eval()

    def _check_division(self, samples: Samples) -> None:
        """Refuse trainings that cannot be divided; raises RecipeError and TrainingError."""
        recipe = self.recipe
        if recipe is not None and (recipe.sharded or recipe.train is not None):
            got = "shards or slices" if recipe.sharded else "a training function"
            raise RecipeError(
                f"expected one training by the engine, to divide its batches, got {got}; leave out parallel= and "
                "accumulate="
            )
        self.check_divisible(self.fresh_model(), samples)

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
        optimizer = recipe.make_optimizer(self._divided(model))
        steps = epochs * len(self.batches(source, recipe.batch_size, 0))
        scheduler = self.schedule(recipe.factor, optimizer, steps=steps)
        for epoch in self.epochs(name, epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = self.batches(source, recipe.batch_size, first + epoch)
            self.fit(model, batches, self.task.loss, optimizer, scheduler=scheduler)

    def _moved(self, samples: Samples) -> Samples:
        """The samples on this run's device, copied there once for all epochs."""
        moved = self._on_device.get(samples)
        if moved is None:
            moved = samples.to(self.device)
            if moved is not samples:  # a value that is its own key would never be let go
                self._on_device[samples] = moved
        return moved


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a model that train, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _normalising(model: nn.Module, *group: tuple[Any, ...]) -> AbstractContextManager[None]:
    """The context in which a model may be trained on these batches, one of which may be a single sample."""
    alone = any(isinstance(part, Batch) and len(part) == 1 for parts in group for part in parts)
    return normalising_alone(model) if alone else nullcontext()
