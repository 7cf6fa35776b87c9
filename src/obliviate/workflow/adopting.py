"""Take a model over that was trained elsewhere, and look whether it knows what it is said to have been trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from scipy.stats import hypergeom, mannwhitneyu
from torch import Tensor, nn

from obliviate._util.files import LOG
from obliviate.errors import CheckpointError
from obliviate.experiment import Experiment
from obliviate.training.device import brought
from obliviate.training.weights import load_into, read_weights
from obliviate.workflow.fresh import LEAST, MOST, fares, knows, spread
from obliviate.workflow.models import ADOPTED, TrainedModel

KNOWN: Final = 0.95
"""The loss on its targets, as a share of that on the same in another order, above which a model does not know them."""
LEVEL: Final = 0.01
"""The p-value of `Knowledge` from which on nothing shows that a model knows its training samples better than others."""


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """How well a model knows its training samples, beside unseen ones, on at most 2,000 of each.

    `train` and `unseen` are the shares that it gets right, in percent; `auc` is how often, in percent, an unseen sample
    has the larger loss of two. `p_value` is that of the test that it knows neither better: twice the smaller of those
    of the losses (Mann and Whitney 1947, one-sided) and of what is right (Fisher's exact test, one-sided). All but the
    first are None without 20 unseen samples. `targets` says whether it knows the targets at all.
    """

    train: float
    targets: bool
    unseen: float | None = None
    auc: float | None = None
    p_value: float | None = None

    @classmethod
    def of(cls, model: nn.Module, experiment: Experiment) -> Knowledge:
        """Ask a model about the samples of an experiment."""
        train, task = spread(experiment.train, MOST), experiment.task
        losses, right = fares(model, train, task)
        knowledge = cls(train=100 * float(right.mean()), targets=knows(model, train, task, share=KNOWN))
        if experiment.test is None or min(len(train), len(experiment.test)) < LEAST:
            return knowledge
        others, others_right = fares(model, spread(experiment.test, MOST), task)
        test = mannwhitneyu(others, losses, alternative="greater")
        area = 100 * float(test.statistic) / (len(losses) * len(others))
        known, both = int(right.sum()), int(right.sum() + others_right.sum())
        at_least = hypergeom.sf(known - 1, len(right) + len(others_right), both, len(right))  # Fisher's exact test
        p_values = float(test.pvalue), float(at_least)
        return cls(
            train=knowledge.train,
            targets=knowledge.targets,
            unseen=100 * float(others_right.mean()),
            auc=area,
            p_value=min(1.0, 2 * min(p_values)),
        )

    @property
    def figures(self) -> str:
        """The figures in a sentence."""
        beside = "" if self.unseen is None else f" and {self.unseen:.1f} % of unseen ones"
        area = "" if self.auc is None else f"; losses tell the two apart with an AUC of {self.auc:.1f} %"
        return f"it gets {self.train:.1f} % of the training samples right{beside}{area}"

    @property
    def warning(self) -> str:
        """What speaks against its having been trained on these samples; an empty text if nothing does."""
        if not self.targets:
            return (
                f"{self.figures}, and does not know the targets better than in another order: are inputs scaled, and "
                "classes numbered, as they were where it was trained?"
            )
        if self.p_value is not None and self.p_value >= LEVEL:
            return (
                f"{self.figures}: nothing shows that it knows the training samples better than unseen ones "
                f"(p = {self.p_value:.2g}). If these are the samples that it was trained on, there is little of them "
                "to forget, or too few to tell"
            )
        return ""


def adopt(weights: Path | str | Mapping[str, Tensor], experiment: Experiment, *, name: str = "") -> TrainedModel:
    """Take over a model that was trained elsewhere, in place of `train`: its weights go into the recipe's architecture.

    `weights` is a file (`.pth`, `.pt`, `.ckpt`, `.safetensors`), the folder of a Hugging Face Trainer, or a state dict;
    prefixes of wrappers are taken off its names (`training.weights`). A recipe, or a training function, says how the
    model was trained; by `Recipe(model=Net, train="unknown")` nobody needs to know: methods that need no recipe then
    work, and audits, which train models like it, do not. How well it knows the training samples beside unseen ones is
    in the notes "knows_train", "knows_unseen" and "knows_auc", in percent; where it does not, a warning is logged.

    Raises CheckpointError for weights that cannot be read or do not fit, with what does not; RecipeError for a model
    that does not fit the samples.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> weights = {f"module.{name}": value for name, value in ob.train(experiment).model.state_dict().items()}
    >>> adopted = ob.adopt(weights, experiment)
    >>> adopted.role, adopted.method, sorted(adopted.notes)
    ('original', 'adopted', ['knows_auc', 'knows_train', 'knows_unseen'])
    """
    state = weights if isinstance(weights, Mapping) else read_weights(Path(weights))
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError("expected a state dict of tensors by their names, got others; give `model.state_dict()`")
    recipe = experiment.recipe
    model = recipe.build(seed=0)
    load_into(model, state, what="the state dict" if isinstance(weights, Mapping) else str(weights))
    model = brought(model).eval()
    experiment.task.check_model(model, experiment.train)
    knowledge = Knowledge.of(model, experiment)
    if knowledge.warning:
        LOG.warning("%s", knowledge.warning)
    figures: dict[str, Any] = asdict(knowledge)
    notes = {f"knows_{key}": figures[key] for key in ("train", "unseen", "auc") if figures[key] is not None}
    return TrainedModel(
        model,
        experiment.task,
        recipe if recipe.trainable else None,
        "original",
        ADOPTED,
        experiment.seed,
        None,
        notes,
        name=name or "original",
    )
