"""Architectures by name, one family per file, and adapters for models of other packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from obliviate.models.causal_transformer import CausalTransformer
from obliviate.models.huggingface import HuggingFaceClassifier, HuggingFaceTokens, huggingface_classifier
from obliviate.models.mlp import MLP
from obliviate.models.named_inputs import NamedInputs
from obliviate.models.normalized import Normalized
from obliviate.models.resnet import resnet8, resnet18, resnet20, resnet56
from obliviate.models.small_cnn import SmallCNN
from obliviate.models.text_transformer import TextTransformer
from obliviate.models.vgg import vgg11, vgg16, vgg19
from obliviate.types import Layout

__all__ = ["HuggingFaceClassifier", "HuggingFaceTokens", "Layout", "NamedInputs", "Normalized"]

ARCHITECTURES: Final[dict[str, Callable[..., nn.Module]]] = {
    "mlp": MLP,
    "small_cnn": SmallCNN,
    "resnet8": resnet8,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "resnet56": resnet56,
    "vgg11": vgg11,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "text_transformer": TextTransformer,
    "causal_transformer": CausalTransformer,
    "huggingface": huggingface_classifier,
}
