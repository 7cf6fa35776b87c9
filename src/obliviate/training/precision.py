"""The number format of training, chosen by what the hardware is fast at."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from obliviate._util.randomness import undisturbed
from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.training.compute import PRECISIONS


@dataclass(frozen=True)
class Precision:
    """How training computes: bfloat16 autocast or plain float32, images in channels-last order where models take it.

    Weights, optimiser state and losses stay in float32 either way.
    """

    device: torch.device
    dtype: torch.dtype
    channels_last: bool = True

    @classmethod
    def choose(cls, name: str, device: torch.device) -> Precision:
        """Resolve "auto", "bfloat16" or "float32" for a device.

        "auto" is bfloat16 on GPUs of compute capability 8 and later and on processors with bfloat16 instructions,
        where convolutions gain 2–10×; float32 elsewhere.
        """
        if name not in PRECISIONS:
            raise RecipeError(f"expected a precision of {', '.join(PRECISIONS)}, got {name!r}; use 'auto'")
        if name == "auto":
            name = "bfloat16" if _has_fast_bfloat16(device) else "float32"
        return cls(device, getattr(torch, name))

    def autocast(self, *, cached: bool = True) -> AbstractContextManager[object]:
        """The context in which forward passes run; where not `cached`, each of them casts the weights anew."""
        enabled = self.dtype is torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=cached)

    def laid_out_for(self, model: nn.Module, samples: Samples) -> Precision:
        """The same without the channels-last order, if a model needs that of the axes: one that flattens by `view`.

        A copy of the model is asked about two samples in both modes; the model and all random states stay as they are.
        """
        batch = samples.take(torch.zeros(2, dtype=torch.long))
        if batch.x.ndim != 4 or not batch.x.is_floating_point() or not self.channels_last:
            return self
        private = self.prepare(copy.deepcopy(model))
        x = self.inputs(batch.x)
        with undisturbed(), torch.no_grad():
            for training in (False, True):
                try:
                    private.train(training)(x)
                except RuntimeError as error:  # what else is wrong comes again from whoever asks in earnest
                    if "view size is not compatible" in str(error):
                        return replace(self, channels_last=False)
        return self

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a model to the device, convolution weights to channels-last order."""
        volumes = any(weight.ndim == 5 for weight in model.parameters())  # torch has no channels-last for them here
        order = torch.channels_last if self.channels_last else torch.contiguous_format
        memory_format = None if volumes else order
        return model.to(device=self.device, memory_format=memory_format)  # pyright: ignore[reportCallIssue]

    def inputs(self, x: Tensor) -> Tensor:
        """Move inputs to the device, images to channels-last order."""
        if x.ndim == 4 and self.channels_last:
            return x.to(device=self.device, memory_format=torch.channels_last)
        return x.to(self.device)


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
