"""What the models of texts have in common, and what each computes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.errors import RecipeError
from obliviate.models import ARCHITECTURES
from obliviate.models.attention import Block
from obliviate.models.huggingface import huggingface_classifier
from obliviate.training.precision import Precision
from obliviate.training.recipe import Recipe

TOKENS = torch.tensor([[5, 3, 9, 2, 0, 0], [4, 4, 8, 7, 6, 3], [9, 0, 0, 0, 0, 0]])
BERT = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
}


def text() -> nn.Module:
    return ARCHITECTURES["text_transformer"](vocabulary=30, length=6, classes=3, width=8, heads=2, layers=2)


def causal() -> nn.Module:
    return ARCHITECTURES["causal_transformer"](classes=30, length=6, width=8, heads=2, layers=2)


def bert() -> nn.Module:
    pytest.importorskip("transformers")
    return ARCHITECTURES["huggingface"](config=BERT, classes=3)


BUILDERS = pytest.mark.parametrize("build", [text, causal, bert])


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """With larger weights than at the beginning of a training, so that everything has an effect."""
    torch.manual_seed(seed)
    model = build().double().eval()
    for weight in model.parameters():
        weight.data.add_(0.3 * torch.randn_like(weight))
    return model


@BUILDERS
def test_tokens_and_their_embeddings_give_the_same_output(build: Callable[[], nn.Module]):
    model: Any = seeded(build)
    embedded = model.embed(TOKENS)
    assert embedded.shape == (3, 6, 8)
    assert torch.equal((embedded != 0).any(2), TOKENS != 0)
    assert model.vocabulary == 30
    assert torch.equal(model(embedded), model(TOKENS))
    assert model(TOKENS).shape == ((3, 6, 30) if build is causal else (3, 3))


@BUILDERS
def test_what_fills_a_text_up_has_no_effect(build: Callable[[], nn.Module]):
    model: Any = seeded(build)
    whole, alone = model(TOKENS), [model(row[None, : int((row != 0).sum())]) for row in TOKENS]
    for row, output in zip(whole, alone, strict=True):
        torch.testing.assert_close(row[: output.shape[1]] if build is causal else row, output[0])


@BUILDERS
def test_each_text_is_processed_alone(build: Callable[[], nn.Module]):
    model = seeded(build)
    torch.testing.assert_close(model(TOKENS), torch.cat([model(tokens[None]) for tokens in TOKENS]))


@BUILDERS
def test_the_order_of_words_matters(build: Callable[[], nn.Module]):
    model = seeded(build)
    swapped = TOKENS[:, [1, 0, 2, 3, 4, 5]]
    assert not torch.allclose(model(swapped)[:2], model(TOKENS)[:2], atol=1e-4)


@BUILDERS
def test_gradients_reach_the_embeddings_of_tokens_and_of_nothing_else(build: Callable[[], nn.Module]):
    model: Any = seeded(build)
    inputs = model.embed(TOKENS).detach().requires_grad_()
    keep = (TOKENS != 0).double() if build is causal else torch.ones(3, 1, dtype=torch.double)
    (model(inputs) * (keep[:, :, None] if build is causal else keep)).square().sum().backward()
    assert inputs.grad is not None
    size = inputs.grad.norm(dim=2)
    assert bool((size[TOKENS != 0] > 0).all())
    assert bool((size[TOKENS == 0] == 0).all())


@BUILDERS
def test_a_text_without_tokens_has_a_finite_output(build: Callable[[], nn.Module]):
    assert bool(seeded(build)(torch.zeros(1, 6, dtype=torch.int64)).isfinite().all())


@BUILDERS
def test_weights_are_a_function_of_the_seed_and_load_into_another_model(build: Callable[[], nn.Module]):
    first, same, other = (Recipe(model=build).build(seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    first, same, other = first.eval(), same.eval(), other.eval()
    assert not torch.allclose(first(TOKENS), other(TOKENS), atol=1e-6)
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(TOKENS), other(TOKENS))


@BUILDERS
def test_training_in_bfloat16_gives_nearly_the_same_outputs(build: Callable[[], nn.Module]):
    model: Any = seeded(build).float()
    expected = model(TOKENS)
    precision = Precision.choose("bfloat16", torch.device("cpu"))
    with precision.autocast():
        output = precision.prepare(model)(precision.inputs(TOKENS))
    assert F.cosine_similarity(output.float().flatten(), expected.flatten(), dim=0) > 0.97


def slow_attention(block: Block, x: Tensor, present: Tensor) -> Tensor:
    """One row, position by position and head by head, by the definition."""
    normal = F.layer_norm(x, x.shape[-1:], block.norm1.weight, block.norm1.bias)
    query, key, value = (normal @ block.attention.weight.T + block.attention.bias).chunk(3, dim=1)
    size = x.shape[1] // block.heads
    mixed = torch.zeros_like(x)
    for head in range(block.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            seen = [j for j in range(len(x)) if present[j] and (j <= i or not block.causal)]
            weights = torch.stack([query[i, part] @ key[j, part] / math.sqrt(size) for j in seen]).softmax(0)
            mixed[i, part] = sum(w * value[j, part] for w, j in zip(weights, seen, strict=True))
    x = x + mixed @ block.projection.weight.T + block.projection.bias
    normal = F.layer_norm(x, x.shape[-1:], block.norm2.weight, block.norm2.bias)
    return x + block.linear2(F.gelu(block.linear1(normal)))


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_is_attention_by_its_definition(causal: bool):
    torch.manual_seed(0)
    block = Block(6, heads=3, causal=causal).double()
    x, present = torch.randn(5, 6).double(), torch.tensor([True, True, causal, True, causal])
    got = block(x[None], None if causal else present[None])[0]
    torch.testing.assert_close(got, slow_attention(block, x, present))


def test_a_causal_model_does_not_look_ahead():
    model = seeded(causal)
    changed = TOKENS.clone()
    changed[:, 3:] = 11
    before, after = model(TOKENS), model(changed)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3:], before[:, 3:], atol=1e-4)


def test_the_default_text_model_has_the_size_that_it_says():
    with torch.device("meta"):
        model = ARCHITECTURES["text_transformer"]()
    assert round(sum(weight.numel() for weight in model.parameters()) / 1000) == 698


def test_a_causal_model_learns_a_text_by_heart():
    torch.manual_seed(0)
    model, row = causal(), torch.tensor([[3, 7, 4, 9, 5, 3]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        loss = F.cross_entropy(model(row)[0, :-1], row[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(F.cross_entropy(model(row)[0, :-1], row[0, 1:]).detach()) < 0.05
    assert model(row)[0, :-1].argmax(1).tolist() == row[0, 1:].tolist()


# Hugging Face


def test_a_pretrained_folder_gives_the_same_model_without_the_network(tmp_path: Any):
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    first: Any = huggingface_classifier(config=BERT, classes=3)
    first.model.save_pretrained(tmp_path)
    again = huggingface_classifier(pretrained=str(tmp_path), classes=3)
    assert torch.equal(first.eval()(TOKENS), again.eval()(TOKENS))
    assert huggingface_classifier(pretrained=str(tmp_path), classes=5)(TOKENS).shape == (3, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"^expected either a config or the name of a pretrained model, got neither; "),
        ({"config": BERT, "pretrained": "x"}, r"^expected either .*, got both; "),
        ({"config": {"vocab_size": 5}}, r"^expected a model that transformers can build, got .*; "),
        ({"config": {"model_type": "nothing"}}, r"^expected a model that transformers can build, got .*; "),
        ({"config": BERT | {"num_attention_heads": 3}}, r"^expected a model that transformers can build, got .*; "),
    ],
)
def test_settings_that_give_no_model_are_refused(options: dict[str, Any], message: str):
    pytest.importorskip("transformers")
    with pytest.raises(RecipeError, match=message):
        huggingface_classifier(**options)


def test_without_transformers_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(RecipeError, match=r"^expected the package transformers, got none; .*obliviate\[text\]"):
        huggingface_classifier(config=BERT)
