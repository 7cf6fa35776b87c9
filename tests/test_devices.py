"""Every method on another device than the processor, and the audit of what it makes, without there being one.

The device is an imitation: its tensors compute on the processor, and refuse to meet those of the processor as a GPU's
do. Speed, precision and kernels are not imitated.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import TensorDataset

from obliviate import workflow
from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods import registry
from obliviate.task import Classification
from obliviate.training.precision import Precision
from obliviate.training.recipe import Recipe

ELSEWHERE, PROCESSOR = torch.device("meta"), torch.device("cpu")  # torch knows how to go back through "meta" tensors
INDEXING = ("aten.index.Tensor", "aten.index_put", "aten._index_put")  # a GPU takes indices of the processor too
COPYING = ("aten.copy_", "aten._to_copy")
TASK = Classification(classes=3)
RECIPE = Recipe(
    model_options={"classes": 3, "width": 2, "hidden": 8},
    epochs=1,
    batch_size=16,
    augmentation="crop_flip",
    precision="float32",
)
LEFT_OUT = ("sisa",)  # it begins from checkpoints of slices, which its own tests make
SHORT = {name: {"least_steps": 10} for name in ("never_seen", "nabla_tau")}  # the defaults take many for few samples
FEW_GRADIENTS = {"amun": {"search": "fgsm", "radius": 0.05}}


class There(torch.Tensor):
    """A tensor of the other device."""

    held: torch.Tensor

    def __new__(cls, values: torch.Tensor, requires_grad: bool = False) -> "There":
        if isinstance(values, There):
            values = values.held
        tensor = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            values.size(),
            strides=values.stride(),
            dtype=values.dtype,
            device=ELSEWHERE,
            requires_grad=requires_grad,
        )
        tensor.held = values.detach()
        return tensor

    def __init__(self, *_: object, **__: object) -> None:
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Imitation(TorchDispatchMode):
    """Makes what is asked for on the other device there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the processor what is asked of either device; raises RuntimeError where both meet."""
    flat, structure = tree_flatten((args, kwargs))
    away = [value for value in flat if isinstance(value, There)]
    here = [value for value in flat if isinstance(value, torch.Tensor) and not isinstance(value, There) and value.ndim]
    wanted, name = kwargs.get("device"), str(func)
    result_is_away = bool(away) if wanted is None else torch.device(wanted).type == ELSEWHERE.type
    if away and here and wanted is None:
        if not isinstance(args[0], There) and name.startswith(COPYING):
            result_is_away = False
        elif not (isinstance(args[0], There) and name.startswith((*INDEXING, *COPYING))):
            raise RuntimeError(f"expected all tensors on one device, got two in {name}")

    def brought(value: Any) -> Any:
        if isinstance(value, There):
            return value.held
        return PROCESSOR if isinstance(value, torch.device) else value

    result = func(*(parts := tree_unflatten([brought(value) for value in flat], structure))[0], **parts[1])
    if func._schema.is_mutable:
        return args[0] if isinstance(result, torch.Tensor) else result
    if not result_is_away:
        return result
    return tree_map(lambda value: There(value) if isinstance(value, torch.Tensor) else value, result)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package works on the other device, as it does on a GPU where there is one."""
    monkeypatch.setattr("obliviate.training.device.best", lambda: ELSEWHERE)
    monkeypatch.setattr(Precision, "autocast", lambda _, **options: contextlib.nullcontext())
    with monkeypatch.context() as patch, Imitation():
        tensor = torch.tensor  # which makes its result on the device itself, past the imitation

        def made_here_and_moved(data: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
            return tensor(data, **options) if device is None else tensor(data, **options).to(device)

        patch.setattr(torch, "tensor", made_here_and_moved)
        yield


@pytest.fixture(scope="module")
def images(data: sources.Data) -> tuple[Samples, Samples, Samples]:
    """Few images of three classes: training, holdout and test samples."""
    assert data.holdout is not None
    parts = ((data.train, 48), (data.holdout, 24), (data.test, 24))
    return tuple(part.at((part.everything().y < 3).numpy()).at(_first(part, count)) for part, count in parts)  # pyright: ignore


def _first(part: Samples, count: int) -> Any:
    kept = int((part.everything().y < 3).sum())
    return torch.arange(kept).lt(count).numpy()


def test_tensors_of_two_devices_do_not_meet(elsewhere: None):
    away = torch.ones(2, device=ELSEWHERE)
    with pytest.raises(RuntimeError, match="one device"):
        _ = away + torch.ones(2)
    with pytest.raises(RuntimeError, match="one device"):
        _ = torch.ones(2)[away.long()]
    assert float((away + 1).cpu().sum()) == 4


@pytest.fixture
def placements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each sample was copied to the device, by its id."""
    counts, to = Counter[str](), Samples.to

    def counted(self: Samples, device: torch.device) -> Samples:
        moved = to(self, device)
        if moved is not self:
            counts.update(self.ids.tolist())
        return moved

    monkeypatch.setattr(Samples, "to", counted)
    return counts


def test_every_method_and_the_audit_work_on_another_device(
    elsewhere: None, placements: Counter[str], images: tuple[Samples, Samples, Samples], tmp_path: Path
):
    train, holdout, unseen = images
    original = workflow.train(Experiment(TASK, RECIPE, train))
    assert next(original.model.parameters()).device == ELSEWHERE
    pool = workflow.train_references(Experiment(TASK, RECIPE, train, unseen), folder=tmp_path, models=4, workers=0)
    split = Split.of(train, forget=train.ids[:16], holdout=holdout)
    models = [original]
    for name, cls in registry().items():
        if name in LEFT_OUT:
            continue
        method: Any = cls(**SHORT.get(name, {}))
        extra: dict[str, Any] = {}
        if "teachers" in method.needs:
            folder = tmp_path / "teachers"
            extra["teachers"] = workflow.train_references(
                Experiment(TASK, RECIPE, train, holdout, seed=1), folder=folder, models=4, workers=0
            )
        splits = [split] if "retain" in method.needs else [split, split.without_retain()]
        if name == "trew":  # which forgets nothing but whole classes
            splits = [Split.of(train, forget="class:2", holdout=holdout)]
        for request in splits:
            folder = tmp_path / f"{name}-{request.retain is None}"
            placements.clear()
            trained = workflow.unlearn(original, request, method, seed=1, folder=folder, **extra).named(name)
            assert placements["".join(request.forget.ids[:1])] == 1
            assert {ids for ids, count in placements.items() if count > 1} == set(), name
            assert next(trained.model.parameters()).device == ELSEWHERE
            if name in ("retrain", "fine_tune"):
                models.append(trained)
    assert len(workflow.audit_models(Experiment(TASK, RECIPE, train, unseen), models, split, pool).models) == 3


@pytest.mark.parametrize("name", ["amun", "fine_tune"])
@pytest.mark.parametrize("retain", [True, False])
def test_samples_that_are_read_on_demand_are_used_on_another_device_too(
    elsewhere: None, images: tuple[Samples, Samples, Samples], name: str, retain: bool
):
    train, _, _ = images
    method: Any = registry()[name](**FEW_GRADIENTS.get(name, {}))
    if not retain and "retain" in method.needs:
        pytest.skip("it needs the retain set")
    original = workflow.train(Experiment(TASK, RECIPE, train))
    batch = train.everything()
    on_demand = Samples.from_dataset(TensorDataset(batch.x, batch.y), ids=train.ids.tolist(), in_memory=False)
    weights = []
    for samples in (on_demand, train):
        split = Split.of(samples, forget=train.ids[:16])
        request = split if retain else split.without_retain()
        weights.append(workflow.unlearn(original, request, method, seed=1, measure=None))
    first, second = (torch.cat([value.cpu().flatten() for value in model.model.parameters()]) for model in weights)
    assert first.equal(second)
