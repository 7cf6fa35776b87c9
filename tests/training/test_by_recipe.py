import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from small_runs import run


def test_training_learns(tiny: Samples, tiny_recipe: Recipe, three_classes: Classification):
    training_run = run(recipe=replace(tiny_recipe, epochs=20))
    before = training_run.fresh_model()
    model = training_run.train(tiny)
    batch = tiny.everything()
    assert not model.training
    assert three_classes.loss(model, batch).item() < 0.5 * three_classes.loss(before, batch).item()


def test_training_is_what_the_recipe_says(tiny: Samples):
    """The engine equals a loop written out by hand."""
    options = {"features": 6, "classes": 3, "hidden": (8,)}
    recipe = Recipe(model="mlp", model_options=options, epochs=3, batch_size=16, precision="float32", schedule="cosine")
    training_run = run(recipe=recipe, seed=5)
    model, steps = training_run.fresh_model(), 3 * 4
    velocity = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    taken = 0
    for epoch in range(3):
        for batch in training_run.batches(tiny, 16, epoch):
            model.zero_grad()
            F.cross_entropy(model(batch.x), batch.y).backward()
            rate = 0.1 * 0.5 * (1 + math.cos(math.pi * taken / steps))
            with torch.no_grad():
                for name, value in model.named_parameters():
                    assert value.grad is not None
                    velocity[name] = 0.9 * velocity[name] + value.grad + 5e-4 * value
                    value.sub_(rate * velocity[name])
            taken += 1
    for weight, expected in zip(training_run.train(tiny).parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(weight, expected)
