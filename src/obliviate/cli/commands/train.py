"""`obliviate train`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Json, Out, Seed, json_object, weights_of
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress

if TYPE_CHECKING:
    from obliviate.data.sources import Data
    from obliviate.training.recipe import Recipe


@app.command
def train(
    *,
    out: Out,
    data: Annotated[
        str,
        Parameter(
            help="fashion_mnist_5k (shipped), digits, diabetes, fashion_pairs, a .npz file with train_x, train_y, "
            "test_x, test_y, or a folder: idx, CIFAR, SVHN, images in train/CLASS and test/CLASS, table or texts with "
            "a data.toml, a plain text (docs/data.md)."
        ),
    ] = "fashion_mnist_5k",
    train_size: Annotated[int | None, Parameter(help="Train on a random part of this many samples.")] = None,
    holdout_size: Annotated[
        int | None,
        Parameter(help="Hold out this many training samples, for methods that need unseen ones."),
    ] = None,
    model: Annotated[
        str | None,
        Parameter(
            help="Architecture: small_cnn, mlp, resnet8, resnet18, resnet20, resnet56, vgg11, vgg16, vgg19, "
            "text_transformer, causal_transformer, huggingface, or module:function of your own. The kind of the data "
            "chooses if left out: small_cnn for images, mlp for rows, a transformer for texts."
        ),
    ] = None,
    options: Annotated[
        str,
        Parameter(
            help="Keyword arguments of the architecture, as a JSON object; what the shape of the data tells need not "
            "be given."
        ),
    ] = "{}",
    epochs: Annotated[int | None, Parameter(help="Passes over the training set; 20, of transformers 10.")] = None,
    optimizer: Annotated[str | None, Parameter(help="sgd (with momentum), adam or adamw, as for transformers.")] = None,
    learning_rate: Annotated[
        float | None, Parameter(help="Peak learning rate; 0.1 with sgd, 0.003 for transformers.")
    ] = None,
    batch_size: Annotated[int, Parameter(help="Samples per step.")] = 64,
    coins: Annotated[
        int | None,
        Parameter(
            help="Toss a fair coin for this many training samples and leave the tails out, for an exact test: "
            "`unlearn --forget coins` then forgets the heads."
        ),
    ] = None,
    noise: Annotated[
        int | None,
        Parameter(
            help="Add noise to this many training samples, for an exact test of gradients: `unlearn --forget noise` "
            "then forgets them."
        ),
    ] = None,
    noise_scale: Annotated[
        float | None, Parameter(help="Standard deviation of the noise, in units of the inputs; 0.1 if left out.")
    ] = None,
    class_weights: Annotated[
        str | None,
        Parameter(
            help="Weights of the classes in the loss, one above 0 a class with commas between them (1,50), or "
            "balanced, so that all classes count the same; of classification only."
        ),
    ] = None,
    shards: Annotated[int, Parameter(help="Parts of the data with a model each, whose votes are averaged (sisa).")] = 1,
    slices: Annotated[int, Parameter(help="Parts of each shard, with a checkpoint after each (sisa).")] = 1,
    seed: Seed = 0,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Train the original model and keep it in a folder, ready to be unlearned and audited."""
    from obliviate.training.defaults import recipe_for
    from obliviate.workspace import Canaries, Portion, Workspace

    asked = {"epochs": epochs, "optimizer": optimizer, "learning_rate": learning_rate}
    given = {name: value for name, value in asked.items() if value is not None}
    settings: dict[str, Any] = {"batch_size": batch_size, "shards": shards, "slices": slices, **given}
    architecture: dict[str, Any] = {"model": model, "options": json_object(options)}

    def recipe(loaded: Data) -> Recipe:
        weights = None if class_weights is None else weights_of(class_weights, loaded)
        return recipe_for(loaded, **architecture, **settings, class_weights=weights)

    with compute.used(), progress(quiet=json_) as show_progress:
        workspace = Workspace.create(
            out,
            source=data,
            recipe=recipe,
            seed=seed,
            progress=show_progress,
            portion=Portion(train_size=train_size, holdout_size=holdout_size),
            canaries=Canaries(coins=coins, noise=noise, noise_scale=noise_scale),
        )
        trained = workspace.train()
    facts = {
        "folder": str(out),
        "train": len(workspace.data.train),
        "seconds": round(trained.seconds or 0.0, 2),
        "notes": list(workspace.data.notes),
    }
    if not json_:
        for note in workspace.data.notes:
            print_line(f"note: {note}")
    print_line(json.dumps(facts) if json_ else f"Trained on {facts['train']:,} samples in {facts['seconds']} s: {out}")
