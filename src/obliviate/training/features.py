"""The feature maps inside an image model: which layer has them, and how they are read by a forward hook."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from obliviate.errors import MethodError
from obliviate.modes import evaluating

SOME: Final = 6  # layers that an error names
LEAST_SIDE: Final = 7  # positions: layer3 of a ResNet on 32×32 images has 8×8, layer4 on 224×224 images has 7×7


def feature_layer(model: nn.Module, x: Float[Tensor, "n channels height width"], *, name: str | None = None) -> str:
    """Choose the layer whose output is read as a feature map: `name`, or the deepest one that is not too small.

    One forward pass finds the modules whose output is "n channels h w"; of these the last to finish with both sides
    of at least `LEAST_SIDE` is chosen, or of the greatest side that there is where all are smaller.

    Raises MethodError when there is no layer of this name, when it has no such output, or when no module has.

    >>> from obliviate.models import ARCHITECTURES
    >>> feature_layer(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28))
    'conv2'
    """
    modules = {key: module for key, module in model.named_modules() if key}
    shapes: dict[str, tuple[int, ...]] = {}

    def seen(key: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            shapes.pop(key, None)
            if isinstance(output, Tensor) and output.ndim == 4 and len(output) == len(x):
                shapes[key] = tuple(output.shape[2:])

        return hook

    handles = [module.register_forward_hook(seen(key)) for key, module in modules.items()]
    try:
        with torch.no_grad(), evaluating(model):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    if name is not None and name not in shapes:
        what = "a layer whose output is a feature map (n channels h w)" if name in modules else "the name of a layer"
        some = difflib.get_close_matches(name, shapes, n=SOME, cutoff=0.4) or list(shapes)[-SOME:]
        raise MethodError(
            f"expected {what}, got {name!r} of {type(model).__name__}; "
            f"choose one of {', '.join(some) or 'another model'}"
        )
    if name is not None:
        return name
    if not shapes:
        raise MethodError(
            f"expected a model with feature maps (n channels h w), got {type(model).__name__} without; "
            "use a convolutional model, or generator=False"
        )
    least = min(LEAST_SIDE, max(min(sides) for sides in shapes.values()))
    return [key for key, sides in shapes.items() if min(sides) >= least][-1]


def with_features(
    model: nn.Module, x: Float[Tensor, "n ..."], layer: str
) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n channels h w"]]:
    """Return the model's output together with the output of one of its layers, in float32.

    >>> from obliviate.models import ARCHITECTURES
    >>> output, features = with_features(ARCHITECTURES["small_cnn"](), torch.zeros(2, 1, 28, 28), "conv2")
    >>> features.shape
    torch.Size([2, 32, 14, 14])
    """
    found: list[Tensor] = []
    # A copy, because the layers that follow may write into it.
    handle = model.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: found.append(output.to(torch.float32, copy=True))
    )
    try:
        output = model(x)
    finally:
        handle.remove()
    return output.float(), found[-1]


def features(model: nn.Module, x: Float[Tensor, "n ..."], layer: str) -> Float[Tensor, "n channels h w"]:
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


class _Reached(Exception):
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output
