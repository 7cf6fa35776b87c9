"""What a model computes inside: its feature maps, and the representation that its last layer classifies."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate.errors import MethodError
from obliviate.models.answers import binary_logits, tensor_of

SOME: Final = 6  # layers that an error names
LEAST_SIDE: Final = 7  # positions: layer3 of a ResNet on 32×32 images has 8×8, layer4 on 224×224 images has 7×7


def feature_layer(
    model: nn.Module,
    x: Float[Tensor, "n channels height width"],
    *,
    name: str | None = None,
    least: int = LEAST_SIDE,
) -> str:
    """Choose the layer whose output is read as a feature map: `name`, or the deepest one that is not too small.

    One forward pass finds the modules whose output is "n channels h w"; of these the last to finish with both sides
    of at least `least` is chosen, or of the greatest side that there is where all are smaller.

    Raises MethodError when there is no layer of this name, when it has no such output, or when no module has.

    >>> from obliviate.models import ARCHITECTURES
    >>> feature_layer(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28))
    'conv2'
    """
    shapes = {key: shape[1:] for key, shape in _shapes(model, x).items() if len(shape) == 3}
    if name is not None:
        return _named(model, shapes, name, what="a feature map (n channels h w)")
    if not shapes:
        raise MethodError(
            f"expected a model with feature maps (n channels h w), got {type(model).__name__} without; "
            "use a convolutional model, or generator=False"
        )
    least = min(least, max(min(sides) for sides in shapes.values()))
    return [key for key, sides in shapes.items() if min(sides) >= least][-1]


def sequence_layer(model: nn.Module, x: Float[Tensor, "n length d"], *, name: str | None = None) -> str | None:
    """Choose the layer whose output is read token by token: `name`, or the middle one of those that have such outputs.

    One forward pass finds the modules whose output is "n length channels" with a position for each token, in the order
    in which they finish; deeper ones than the middle know the training set by heart. None where there is none.

    Raises MethodError when there is no layer of this name, or when it has no such output.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Flatten(), nn.Linear(10, 3))
    >>> sequence_layer(model, torch.zeros(2, 5, 4))
    '1'
    """
    shapes = {key: shape for key, shape in _shapes(model, x).items() if len(shape) == 2 and shape[0] == x.shape[1]}
    if name is not None:
        return _named(model, shapes, name, what="a position for each token (n length channels)")
    return list(shapes)[(len(shapes) - 1) // 2] if shapes else None


def _shapes(model: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """What one sample's output of each module looks like, in the order in which the modules finish."""
    shapes: dict[str, tuple[int, ...]] = {}

    def seen(key: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            shapes.pop(key, None)
            if isinstance(output, Tensor) and output.ndim and len(output) == len(x):
                shapes[key] = tuple(output.shape[1:])

        return hook

    handles = [module.register_forward_hook(seen(key)) for key, module in model.named_modules() if key]
    try:
        with torch.no_grad(), evaluating(model):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _named(model: nn.Module, names: Iterable[str], name: str, *, what: str) -> str:
    """Return a name that is known, and refuse any other."""
    names = list(names)
    if name not in names:
        wanted = f"a layer whose output is {what}" if name in dict(model.named_modules()) else "the name of a layer"
        some = difflib.get_close_matches(name, names, n=SOME, cutoff=0.4) or names[-SOME:]
        raise MethodError(
            f"expected {wanted}, got {name!r} of {type(model).__name__}; "
            f"choose one of {', '.join(some) or 'another model'}"
        )
    return name


def with_features(
    model: nn.Module, x: Shaped[Tensor, "n ..."], layer: str
) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n ..."]]:
    """Return the model's output together with the output of one of its layers, in float32.

    >>> from obliviate.models import ARCHITECTURES
    >>> output, features = with_features(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28), "conv2")
    >>> features.shape
    torch.Size([2, 32, 14, 14])
    """
    outputs: list[Tensor] = []
    # A copy, because the layers that follow may write into it.
    handle = model.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: outputs.append(output.to(torch.float32, copy=True))
    )
    try:
        output = model(x)
    finally:
        handle.remove()
    return tensor_of(output).float(), outputs[-1]


def features(model: nn.Module, x: Shaped[Tensor, "n ..."], layer: str) -> Float[Tensor, " n ..."]:
    """Return the output of one of the model's layers in float32, and spare the computation of what follows it.

    >>> from obliviate.models import ARCHITECTURES
    >>> features(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28), "conv2").shape
    torch.Size([2, 32, 14, 14])
    """

    def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        raise _Reached(output.float())

    handle = model.get_submodule(layer).register_forward_hook(stop)
    try:
        model(x)
    except _Reached as reached:
        return reached.output
    finally:
        handle.remove()
    raise MethodError(
        f"expected {type(model).__name__} to use its layer {layer!r}, got an output without; name another"
    )


def head_layer(model: nn.Module, x: Shaped[Tensor, "n ..."], *, name: str | None = None) -> str:
    """Choose the classifier of a model, whose input is the representation: `name`, or the linear layer that runs last.

    Raises MethodError when there is no layer of this name, when its input is not one vector a sample, or when the
    model's output is not that of such a linear layer.

    >>> from obliviate.models import ARCHITECTURES
    >>> head_layer(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28))
    'linear2'
    """
    modules = {key: module for key, module in model.named_modules() if key}
    if name is not None and name not in modules:
        close = difflib.get_close_matches(name, modules, n=3, cutoff=0.4) or list(modules)[:3]
        raise MethodError(
            f"expected a layer of {type(model).__name__}, got {name!r}; close names are {', '.join(close)}"
        )
    ran: dict[str, Tensor] = {}

    def seen(key: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 2 and len(inputs[0]) == len(x):
                ran.pop(key, None)
                ran[key] = output

        return hook

    watched = [key for key, module in modules.items() if key == name or isinstance(module, nn.Linear)]
    handles = [modules[key].register_forward_hook(seen(key)) for key in watched]
    try:
        with torch.no_grad(), evaluating(model):
            output = model(x)
    finally:
        for handle in handles:
            handle.remove()
    if name is not None and name not in ran:
        raise MethodError(
            f"expected a layer whose input is one vector a sample, got {name!r} of {type(model).__name__}; "
            f"choose one of {', '.join(ran) or 'another model'}"
        )
    if name is not None:
        return name
    last = next(reversed(ran), None)
    if last is None or not _are_of(ran[last], tensor_of(output)):
        raise MethodError(
            f"expected a model whose output is that of a linear layer over one vector a sample, got "
            f"{type(model).__name__}; name the layer that classifies with `layer`, or use another method"
        )
    return last


def _are_of(linear: Tensor, output: Tensor) -> bool:
    """Whether outputs are those of a linear layer, as they are or, of a single logit, as those of two classes."""
    if torch.equal(linear, output):
        return True
    single = linear.ndim == 2 and linear.shape[1] == 1
    return single and (torch.equal(linear[:, 0], output) or torch.equal(binary_logits(linear), output))


def representation(model: nn.Module, x: Shaped[Tensor, "n ..."], head: str) -> Float[Tensor, "n features"]:
    """Return what the classifier of a model receives, in float32.

    >>> from obliviate.models import ARCHITECTURES
    >>> representation(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28), "linear2").shape
    torch.Size([2, 256])
    """
    inputs_seen: list[Tensor] = []
    handle = model.get_submodule(head).register_forward_pre_hook(
        lambda _module, inputs: inputs_seen.append(inputs[0].to(torch.float32, copy=True))
    )
    try:
        model(x)
    finally:
        handle.remove()
    return inputs_seen[-1]


class _Reached(Exception):
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output
