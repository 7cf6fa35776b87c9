import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.retrain import Retrain
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run


def test_it_is_a_training_on_the_retain_set_whatever_the_model(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    split = Split.of(tiny, forget=tiny.ids[:10])
    models = [tiny_recipe.build(seed=seed) for seed in (1, 2)]
    with torch.no_grad():
        for weight in models[1].parameters():
            weight.fill_(torch.nan)
    runs = [Run(three_classes, seed=5, recipe=tiny_recipe) for _ in range(3)]
    retrained: list[nn.Module] = [Retrain()(model, split, run) for model, run in zip(models, runs[:2], strict=True)]
    alone = runs[2].train(tiny.select(tiny.ids[10:]))
    assert len({weights_sha256(model) for model in [*retrained, alone]}) == 1
