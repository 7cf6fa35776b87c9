"""Models of transformers and peft are known by their kind, and compute what they compute without us.

Both are imported by what makes a model, and not by every process that collects tests: they take seconds.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.models.huggingface import HuggingFaceClassifier, HuggingFaceTokens, adapted
from obliviate.models.named_inputs import NamedInputs
from obliviate.task import CausalLM, Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel, audit_models, limits, train, train_references, unlearn

pytestmark = pytest.mark.filterwarnings("default")  # those of transformers and peft are their own

TOKENS = torch.tensor([[5, 3, 9, 2, 0, 0], [4, 4, 8, 7, 6, 3], [9, 1, 0, 0, 0, 0]])
PIXELS = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 2,
}
GPT2: dict[str, Any] = {
    "vocab_size": 20,
    "n_positions": 8,
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "num_labels": 2,
}


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(vocab_size=20, pad_token_id=0, **SMALL))


def reader() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    return GPT2ForSequenceClassification(GPT2Config(pad_token_id=0, **GPT2))


def writer() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(pad_token_id=0, **GPT2))


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, **SMALL))


def lora() -> nn.Module:
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query", "value"], init_lora_weights=False)
    return get_peft_model(bert(), config)  # pyright: ignore[reportArgumentType]


def seeded(build: Callable[[], nn.Module]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()


@pytest.mark.parametrize(
    ("build", "kind", "x"),
    [
        (bert, HuggingFaceClassifier, TOKENS),
        (lora, HuggingFaceClassifier, TOKENS),
        (reader, HuggingFaceTokens, TOKENS),
        (writer, HuggingFaceTokens, TOKENS),
        (vit, NamedInputs, PIXELS),
    ],
)
def test_a_model_as_it_is_gives_its_own_logits_behind_its_adapter(
    build: Callable[[], nn.Module], kind: type[nn.Module], x: Tensor
) -> None:
    model = seeded(build)
    wrapped: Any = TrainedModel.given(model, Classification(classes=2)).model
    assert type(wrapped) is kind
    assert wrapped.model is model
    inputs = {"pixel_values": x} if x is PIXELS else {"input_ids": x, "attention_mask": (x != 0).long()}
    torch.testing.assert_close(wrapped(x), model(**inputs).logits)
    assert adapted(wrapped) is wrapped
    built = Recipe(model=build).build(seed=0)
    assert type(built) is kind


def test_padding_has_no_effect_on_a_classifier_that_reads_from_left_to_right() -> None:
    model = adapted(seeded(reader))
    alone = torch.cat([model(row[row != 0][None]) for row in TOKENS])
    torch.testing.assert_close(model(TOKENS), alone)


def test_without_a_padding_token_every_token_of_a_language_model_counts() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(pad_token_id=None, **GPT2)).eval()
    torch.testing.assert_close(adapted(model)(TOKENS), model(input_ids=TOKENS).logits)


def test_other_modules_stay_as_they_are() -> None:
    plain = nn.Linear(2, 2)
    assert TrainedModel.given(plain, Classification(classes=2)).model is plain


def unpadded() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    return GPT2ForSequenceClassification(GPT2Config(pad_token_id=None, **GPT2))


def filling() -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(vocab_size=20, **SMALL))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            unpadded,
            r"^expected a GPT2ForSequenceClassification that says which token fills texts up, .*pad_token_id = tok",
        ),
        (
            filling,
            r"^expected a classifier of texts or images or a language model, got BertForMaskedLM, .*NamedInputs\(mod",
        ),
    ],
)
def test_a_model_that_is_not_known_is_refused_with_the_line_to_write(
    build: Callable[[], nn.Module], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        TrainedModel.given(seeded(build), Classification(classes=2))


@pytest.fixture(scope="module")
def texts() -> Samples:
    """60 texts of two topics."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2
    x = torch.randint(1, 12, (60, 6), generator=generator) + 7 * y[:, None]
    return Samples.from_tensors(x, y, ids=[f"t{place:02d}" for place in range(60)])


def test_of_an_adapter_only_what_is_trainable_changes_and_the_audit_says_what_that_means(
    texts: Samples, tmp_path: Any
) -> None:
    recipe = Recipe(model=lora, epochs=2, optimizer="adamw", learning_rate=1e-2, batch_size=16, precision="float32")
    experiment = Experiment(
        Classification(classes=2, tokens=True), recipe, texts.at(texts.ids < "t40"), texts.at(texts.ids >= "t40")
    )
    original = train(experiment)
    split = experiment.split(experiment.train.ids[:20])
    forgot = unlearn(original, split, FineTune(epochs=1))
    before, after = original.model.state_dict(), forgot.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trainable = {name for name, parameter in forgot.model.named_parameters() if parameter.requires_grad}
    assert changed
    assert changed <= trainable
    assert 0 < forgot.trainable_share < 0.5
    assert "% of the weights could change." in str(forgot)
    pool = train_references(experiment, folder=tmp_path, models=4, workers=0)
    result = audit_models(experiment, [original, forgot], split, pool)
    assert result.models[1].settings["trainable_share"] == pytest.approx(forgot.trainable_share)
    said = [line for line in limits(result.findings) if "base under an adapter" in line]
    assert len(said) == 1
    assert "of the weights of original and FineTune could change" in said[0]
    assert "warning: only" in str(result)


def test_a_model_whose_weights_all_change_is_not_warned_of(texts: Samples) -> None:
    model = TrainedModel.given(seeded(bert), Classification(classes=2, tokens=True))
    assert model.trainable_share == 1.0
    assert "could change" not in str(model)


def test_a_language_model_forgets(texts: Samples) -> None:
    from transformers import PreTrainedModel

    tokens = texts.everything().x
    sentences = Samples.from_tensors(tokens[:, :-1], tokens[:, 1:])
    recipe = Recipe(model=writer, epochs=1, optimizer="adamw", learning_rate=1e-3, batch_size=16, precision="float32")
    experiment = Experiment(CausalLM(tokens=20), recipe, sentences)
    forgot = unlearn(train(experiment), experiment.split(sentences.ids[:6]), FineTune(epochs=1))
    inner: Any = forgot.model
    assert isinstance(inner.model, PreTrainedModel)
