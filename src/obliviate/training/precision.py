"""The number format of training, chosen by what the hardware is fast at."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from obliviate.errors import RecipeError
from obliviate.training.compute import PRECISIONS


@dataclass(frozen=True)
class Precision:
    """How training computes: bfloat16 autocast or plain float32, with images in channels-last order if it gains.

    Weights, optimiser state and losses stay in float32 either way.
    """

    device: torch.device
    dtype: torch.dtype

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

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype is torch.bfloat16)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a model to the device, convolution weights to channels-last order."""
        volumes = any(one.ndim == 5 for one in model.state_dict().values())  # torch has no channels-last for them here
        memory_format = None if volumes else torch.channels_last
        return model.to(device=self.device, memory_format=memory_format)  # pyright: ignore[reportCallIssue]

    def inputs(self, x: Tensor) -> Tensor:
        """Move inputs to the device, images to channels-last order."""
        if x.ndim == 4:
            return x.to(device=self.device, memory_format=torch.channels_last)
        return x.to(self.device)


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
