"""What a builder and a task are, whatever they are called: what was made by the same ones can be found again."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.task import Classification, Task
from obliviate.training.randomness import one_thread, seeded
from obliviate.training.recipe import Recipe
from obliviate.types import Batch

ASKED: Final = 2  # samples that a model is asked about
COMPARED: Final = 64  # samples whose losses are compared
LARGEST: Final = 2**22  # numbers in the outputs that are made up to compare losses
CHUNK: Final = 2**19
GOLDEN: Final = (1 + 5**0.5) / 2
PRIME: Final = 1_000_003
REMEDY: Final = "return a new model at each call, for example `lambda: Net()`"
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def architecture_sha256(recipe: Recipe, samples: Samples) -> str:
    """Hash the model that a recipe builds from seed 0 (`model_sha256`); what its builder is called plays no part.

    The model is built twice, by one thread. Raises RecipeError for a builder that returns the same model again, one
    that shares memory with the first, or other weights from the same seed, and for a model that fails on the samples.

    >>> samples = Samples.from_tensors(torch.rand(3, 4), torch.tensor([0, 1, 0]))
    >>> named = Recipe(model="mlp", model_options={"features": 4, "classes": 2})
    >>> same = Recipe(model=lambda **options: named.build(seed=0), model_options=named.model_options)
    >>> wider = Recipe(model="mlp", model_options={"features": 4, "classes": 2, "hidden": (9,)})
    >>> [architecture_sha256(recipe, samples) == architecture_sha256(named, samples) for recipe in (same, wider)]
    [True, False]
    """
    with one_thread():
        first, second = recipe.build(seed=0), recipe.build(seed=0)
        refuse_shared(recipe, first, second)
        if _weights(first) != _weights(second):
            raise RecipeError(
                f"expected weights that are a function of the seed, got others at each call of {recipe.model_name}; "
                "draw them with torch's global generator, which is seeded before each call"
            )
        return model_sha256(first, samples)


def model_sha256(model: nn.Module, samples: Samples) -> str:
    """Hash a model: the tree of its modules, its weights and buffers, and its outputs for the first two samples.

    The outputs tell apart modules that differ in what they compute only. Numbers are hashed as `sketch` gives them, and
    computed in float64 where the model can, by one thread: the last bits of float32 differ between processors and
    numbers of threads, in random initial weights too, and the same code must have the same hash everywhere. Of what
    shows in training only, the rates of dropout are seen, modules or not. The model is not changed.

    Raises RecipeError for a model that fails on the samples.
    """
    tree = [
        f"{name} {type(module).__name__}({_ADDRESS.sub('', module.extra_repr())})"
        for name, module in model.named_modules()
    ]
    with one_thread(), seeded(0):
        batch = samples.take(torch.arange(min(ASKED, len(samples))))
        outputs, rates = [sketch(output) for output in _tensors(_output(model, batch))], _dropouts(model, batch)
    return _digest({"modules": tree, "weights": _weights(model), "outputs": outputs, "dropouts": rates})


def task_sha256(task: Task, model: nn.Module, samples: Samples) -> str:
    """Hash a task: what it is (`describe_task`), and its losses and what audits keep, for made-up outputs.

    The outputs have the shape of the model's; the targets are some of the samples' own, and those of all classes in a
    classification, so that a subclass with other class weights is another task. The model is not changed.

    Raises RecipeError for a model that fails on the samples.

    >>> samples = Samples.from_tensors(torch.rand(3, 4), torch.tensor([0, 1, 0]))
    >>> model = nn.Linear(4, 2)
    >>> class Weighted(Classification):
    ...     def per_sample(self, output, y):
    ...         return super().per_sample(output, y) * torch.tensor([1.0, 50.0])[y]
    >>> task_sha256(Weighted(classes=2), model, samples) == task_sha256(Classification(classes=2), model, samples)
    False
    """
    with one_thread(), seeded(0):
        shape = tuple(task.read(_output(model, samples.take(torch.arange(1)))).shape[1:])
        count = min(COMPARED, len(samples), max(1, LARGEST // max(1, math.prod(shape))))
        batch = samples.take(torch.linspace(0, len(samples) - 1, count).round().long())
        values = [*_losses(task, copy.deepcopy(model), batch, _synthetic(len(batch), *shape))]
        if isinstance(task, Classification) and shape == (task.classes,):
            classes = torch.arange(min(task.classes, max(1, LARGEST // task.classes)))
            values.append(task.per_sample(_synthetic(len(classes), *shape), classes).detach())
    return _digest({"task": describe_task(task), "values": [sketch(value) for value in values]})


def describe_task(task: Task) -> dict[str, str]:
    """Say what a task is: its kind, its class, and the fields that two tasks are compared by, the same in every run.

    >>> describe_task(Classification(classes=2))["class"]
    'obliviate.task.classification:Classification'
    """
    compared = dataclasses.is_dataclass(task)
    names = [field.name for field in dataclasses.fields(task) if field.compare] if compared else sorted(vars(task))
    values = {name: _ADDRESS.sub("", repr(getattr(task, name))) for name in names}
    return {"kind": task.kind, "class": f"{type(task).__module__}:{type(task).__qualname__}", **values}


def refuse_shared(recipe: Recipe, first: nn.Module, second: nn.Module, *, what: str = "its last one") -> None:
    """Refuse a builder whose model `second` is, or shares memory with, the model `first`; raises RecipeError.

    Training the one would change the other.

    >>> net = nn.Linear(2, 2)
    >>> refuse_shared(Recipe(model=lambda: net), net, nn.Linear(2, 2))
    """
    if first is second:
        raise RecipeError(f"expected a new model from {recipe.model_name}, got {what} again; {REMEDY}")
    places = dict(_memory(first))
    if shared := [name for place, name in _memory(second) if place in places]:
        raise RecipeError(
            f"expected a new model from {recipe.model_name}, got one that shares {shared[0]} with {what}; {REMEDY}"
        )


def refuse_same_model(recipe: Recipe, model: nn.Module, *, seed: int) -> None:
    """Refuse a builder that returns the same model twice, or `model` itself, or what shares memory with it.

    Raises RecipeError.
    """
    first, second = recipe.build(seed=seed), recipe.build(seed=seed)
    refuse_shared(recipe, model, first, what="the model that is to forget")
    refuse_shared(recipe, first, second)


def sketch(values: Tensor) -> str:
    """Summarise numbers so that other numbers give another text, and other last bits the same.

    Rounding each number would not do: of a million, some lie at a limit of rounding, which the last bit decides. So
    floats are told by their root mean square, to four digits, and the projection of their direction on a fixed one that
    has no pattern, to three decimals; numbers that are not finite by their places. Others are hashed as they are.

    >>> x = torch.rand(1000)
    >>> sketch(x) == sketch(x * (1 + 1e-12)), sketch(x) == sketch(x.flip(0)), sketch(torch.zeros(2))
    (True, False, '(2,) torch.float32 0.000e+00 0.0')
    """
    header = f"{tuple(values.shape)} {values.dtype}"
    flat = values.detach().cpu().flatten()
    if not (flat.is_floating_point() or flat.is_complex()):
        return f"{header} {hashlib.sha256(flat.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()}"
    if flat.is_complex():
        flat = torch.view_as_real(flat).flatten()
    square, projection, odd = 0.0, 0.0, hashlib.sha256()
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK].double()
        finite = part.isfinite()
        if not bool(finite.all()):
            odd.update(f"{start} {sorted(set(map(str, part[~finite].tolist())))}".encode())
            odd.update(finite.numpy().tobytes())
            part = part.where(finite, 0.0)
        square += float(part.dot(part))
        weight = 1 + math.cos(GOLDEN * (start // CHUNK) ** 2) / 2  # so that it matters in which chunk something is
        projection += weight * float(part.dot(_direction()[: len(part)]))
    scale = math.sqrt(square)
    text = f"{header} {scale / math.sqrt(max(1, len(flat))):.3e} {round(projection / (scale or 1.0), 3) + 0.0}"
    return text if odd.digest() == hashlib.sha256().digest() else f"{text} {odd.hexdigest()}"


@cache
def _direction() -> Float[Tensor, " chunk"]:
    places = torch.arange(1, CHUNK + 1)
    return torch.cos(GOLDEN * (places * places % PRIME).double())


def _weights(model: nn.Module) -> list[str]:
    return sorted(
        f"{name} {sketch(value) if isinstance(value, Tensor) and not is_lazy(value) else type(value).__name__}"
        for name, value in model.state_dict().items()
    )


def _memory(model: nn.Module) -> Iterator[tuple[tuple[torch.device, int], str]]:
    """Where the numbers of a model lie, with their names; a buffer that is not saved counts too."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not is_lazy(tensor) and tensor.numel() and tensor.layout == torch.strided and tensor.device.type != "meta":
            yield (tensor.device, tensor.untyped_storage().data_ptr()), name


def _output(model: nn.Module, batch: Batch) -> object:
    """What a copy answers in evaluation mode, in float64 unless the model insists on float32."""
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    problem: Exception | None = None
    for dtype in (torch.float64, torch.float32):
        try:
            private = copy.deepcopy(model).eval()
            with torch.no_grad():
                if any(map(is_lazy, private.parameters())):
                    private(batch.x.to(device))  # which gives it its shapes
                x = batch.x.to(device, dtype) if batch.x.is_floating_point() else batch.x.to(device)
                return private.to(dtype)(x)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            problem = error
    raise RecipeError(
        f"expected a model that takes inputs of shape {tuple(batch.x.shape)}, got an error from {type(model).__name__} "
        f"({problem}); check what it was built for"
    ) from problem


class _Dropouts(TorchFunctionMode):
    """Writes down the rates of dropout, on its own and within attention."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if "dropout" in name or "attention" in name:
            self.rates.append(f"{name} {sorted(rate for rate in (*args, *kwargs.values()) if type(rate) is float)}")
        return func(*args, **kwargs)


def _dropouts(model: nn.Module, batch: Batch) -> list[str]:
    """The rates that a copy in training mode asks for; or which error it raises, as some do without their targets."""
    private, dropouts = copy.deepcopy(model).train(), _Dropouts()
    parameter = next(model.parameters(), None)
    try:
        with torch.no_grad(), dropouts:
            private(batch.x if parameter is None else batch.x.to(parameter.device))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        return [*dropouts.rates, type(error).__name__]
    return dropouts.rates


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping | tuple | list):
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from _tensors(part)


def _losses(task: Task, model: nn.Module, batch: Batch, output: Tensor) -> Iterator[Tensor]:
    """What a task makes of a model that gives these outputs: losses, as trainings take them, and what audits keep."""
    parameter = next(model.parameters(), None)
    if parameter is not None:
        batch, output = batch.to(parameter.device), output.to(parameter.device)
    model.eval().forward = lambda *_, **__: output  # the model itself, as a loss may look at its weights
    yield from (loss(model, batch).detach() for loss in (task.losses, task.loss))
    yield task.observe(output, batch.y).detach()


def _synthetic(*shape: int) -> Tensor:
    """Outputs between −2 and 2 that are the same everywhere."""
    return 2 * torch.cos(GOLDEN * torch.arange(math.prod(shape)).double()).float().reshape(shape)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
