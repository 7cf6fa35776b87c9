"""Sequence classifiers of Hugging Face's `transformers`, with the inputs and outputs of the other models here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn

from obliviate.errors import RecipeError
from obliviate.models.attention import with_mask, without_mask


class HuggingFaceClassifier(nn.Module):
    """A `transformers` model for sequence classification that takes tokens, or their embeddings with a mask channel.

    Tokens are int64 "n length" filled up with `pad`; the output is the logits.
    """

    def __init__(self, model: nn.Module, *, pad: int) -> None:
        super().__init__()
        self.model = model
        self.pad = pad
        self.vocabulary = int(model.get_input_embeddings().num_embeddings)  # pyright: ignore

    def embed(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n length channels"]:
        """Return the tokens' embeddings, without positions, and a last channel: 1 for a token, 0 for what fills up."""
        table: Any = self.model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
        return with_mask(table(tokens), tokens != self.pad)

    def forward(self, x: Int64[Tensor, "n length"] | Float[Tensor, "n length channels"]) -> Float[Tensor, "n classes"]:
        embeddings, present = without_mask(x if x.is_floating_point() else self.embed(x))
        return self.model(inputs_embeds=embeddings, attention_mask=present.long()).logits


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
            pretrained, num_labels=classes, local_files_only=local, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"expected a model that transformers can build, got {pretrained or dict(config or {})} ({error}); "
            "correct the settings or the name"
        ) from error
    return HuggingFaceClassifier(model, pad=pad)
