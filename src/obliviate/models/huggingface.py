"""Models of Hugging Face's `transformers`, with the inputs and outputs of the other models here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from obliviate.errors import RecipeError
from obliviate.models.attention import masked, where_present
from obliviate.models.named_inputs import NamedInputs

RAW: Final = (("transformers.modeling_utils", "PreTrainedModel"), ("peft.peft_model", "PeftModel"))
"""Modules with a class of models that want an adapter, and its name."""


class HuggingFaceClassifier(nn.Module):
    """A `transformers` model for sequence classification that takes tokens, or their embeddings.

    Tokens are int64 "n length" filled up with `pad`; the output is the logits.
    """

    def __init__(self, model: nn.Module, *, pad: int) -> None:
        super().__init__()
        self.model = model
        self.pad = pad
        self.vocabulary = int(self._table.num_embeddings)

    @property
    def _table(self) -> Any:
        return self.model.get_input_embeddings()  # pyright: ignore[reportCallIssue]

    def embed(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        """Return the tokens' embeddings, without positions; zeros for what fills up."""
        return masked(self._table(tokens), tokens != self.pad)

    def forward(self, x: Int64[Tensor, "n length"] | Float[Tensor, "n length width"]) -> Float[Tensor, "n classes"]:
        embeddings = x if x.is_floating_point() else self.embed(x)
        return self.model(inputs_embeds=embeddings, attention_mask=where_present(embeddings).long()).logits


class HuggingFaceTokens(nn.Module):
    """A `transformers` model of token ids: language models, and classifiers that read texts from left to right.

    Tokens are int64 "n length", filled up behind with `pad`, which the model does not see; without `pad` every token
    counts. The output is the logits: "n length tokens" of a language model, "n classes" of a classifier. `model` is the
    model as it was given, for `model.save_pretrained`.

    >>> from obliviate.models.huggingface import HuggingFaceTokens
    >>> class Counts(nn.Module):  # stands for a model of transformers
    ...     def forward(self, input_ids, attention_mask):
    ...         return argparse.Namespace(logits=attention_mask.sum(1, keepdim=True))
    >>> import argparse, torch
    >>> HuggingFaceTokens(Counts(), pad=0)(torch.tensor([[5, 3, 0]]))
    tensor([[2]])
    """

    def __init__(self, model: nn.Module, *, pad: int | None) -> None:
        super().__init__()
        self.model = model
        self.pad = pad

    def forward(self, x: Int64[Tensor, "n length"]) -> Any:
        present = torch.ones_like(x, dtype=torch.bool) if self.pad is None else x != self.pad
        present[:, 0] = True  # attention is defined for a text without tokens
        return self.model(input_ids=x, attention_mask=present.long()).logits


def adapted(model: nn.Module) -> nn.Module:
    """Wrap a model of `transformers` or `peft` so that it takes a tensor and returns logits; others stay as they are.

    Classifiers of texts take token ids and know what fills a text up by `model.config.pad_token_id`; so do language
    models; models of images take pixels. `model` of the adapter is the model that was given.

    Raises RecipeError for a kind of model that is not known, with the line to write.

    >>> plain = nn.Linear(2, 2)
    >>> adapted(plain) is plain
    True
    """
    if not _is_raw(model):
        return model
    whole: Any = model
    base: Any = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    kind, main = type(base).__name__, base.main_input_name
    pad = getattr(base.config, "pad_token_id", None)
    if main == "pixel_values":
        return NamedInputs(model, main)
    if main == "input_ids" and kind.endswith(("ForCausalLM", "LMHeadModel")):
        return HuggingFaceTokens(model, pad=pad)
    if main == "input_ids" and kind.endswith("ForSequenceClassification"):
        if pad is None:
            raise RecipeError(
                f"expected a {kind} that says which token fills texts up, got none; set `model.config.pad_token_id = "
                "tokenizer.pad_token_id`"
            )
        # Those that read from left to right find a text's last token by its ids, which embeddings do not have.
        return HuggingFaceTokens(model, pad=pad) if hasattr(base, "score") else HuggingFaceClassifier(model, pad=pad)
    raise RecipeError(
        f"expected a classifier of texts or images or a language model, got {kind}, which returns something else; wrap "
        f"it so that it returns logits: `obliviate.models.NamedInputs(model, {main!r})`, or a module of your own"
    )


def _is_raw(model: nn.Module) -> bool:
    """Whether a model is of a class of `RAW`; whatever is has imported its module."""
    modules = [(sys.modules.get(module), name) for module, name in RAW]
    return any(module is not None and isinstance(model, getattr(module, name)) for module, name in modules)


def huggingface_classifier(
    *, config: Mapping[str, Any] | None = None, pretrained: str | None = None, classes: int = 2, pad: int = 0
) -> HuggingFaceClassifier:
    """Build a classifier of fresh weights from a configuration, or take one from a folder or the Hugging Face Hub.

    `config` holds a `model_type`, such as "bert" or "distilbert", and its settings (`vocab_size`, `hidden_size`, …);
    nothing is downloaded. `pretrained` is a local folder, or the name of a model on the Hub, which needs the network;
    its tokens are those of its own tokenizer, so give inputs that were made with it. Its classification layer is drawn
    anew unless it has `classes` outputs. Needs `pip install 'obliviate[text]'`.

    Raises RecipeError where `transformers` is missing, where not exactly one of both is given, or for settings that it
    does not take.
    """
    if (config is None) == (pretrained is None):
        got = "neither" if config is None else "both"
        raise RecipeError(f"expected either a config or the name of a pretrained model, got {got}; give one of them")
    try:
        import transformers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise RecipeError(
            "expected the package transformers, got none; install it with `pip install 'obliviate[text]'`"
        ) from error
    auto = transformers.AutoModelForSequenceClassification
    try:
        if config is not None:
            settings = dict(config) | {"num_labels": classes, "pad_token_id": pad}
            model_type = str(settings.pop("model_type", ""))
            return HuggingFaceClassifier(
                auto.from_config(transformers.AutoConfig.for_model(model_type, **settings)), pad=pad
            )
        assert pretrained is not None
        local = Path(pretrained).is_dir()
        model = auto.from_pretrained(
            pretrained, num_labels=classes, local_files_only=local, ignore_mismatched_sizes=True, use_safetensors=True
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"expected a model that transformers can build, got {pretrained or dict(config or {})} ({error}); "
            "correct the settings or the name"
        ) from error
    return HuggingFaceClassifier(model, pad=pad)
