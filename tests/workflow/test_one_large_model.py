"""One model on two processes: the weights are those of one process, for every method that can; others are refused."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import fsdp

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods import registry
from obliviate.methods.divided import DIVISIBLE, NOT_IN_PARTS, WHOLE
from obliviate.task import Classification
from obliviate.training.compute import computing
from obliviate.training.division import Division
from obliviate.training.recipe import Recipe
from obliviate.training.teachers import Answer
from obliviate.workflow import TrainedModel
from processes import largest_difference, together

State = dict[str, Tensor]
Way = tuple[str, str]
"""How it is divided, and what is done: a method, "train", or "texts" (MixUnlearn of texts)."""

KINDS = ["ddp", "fsdp"] if hasattr(fsdp, "fully_shard") else ["ddp"]  # which torch has from 2.6 on
CAN: dict[str, set[str]] = {"ddp": set(DIVISIBLE), "fsdp": set(DIVISIBLE).difference(NOT_IN_PARTS)}
WAYS: list[Way] = [(kind, name) for kind in KINDS for name in sorted(CAN[kind])]
OFTEN = {"mixunlearn", "nabla_tau", "neg_grad_plus", "never_seen", "salun"}
FEW: list[Way] = [way for way in WAYS if way[1] in OFTEN]
MANY: list[Way] = [way for way in WAYS if way[1] not in OFTEN] + [(kind, "texts") for kind in KINDS]

STEPLESS = {"influence", "ssd"}
"""Methods that change the weights without going down a loss."""

SETTINGS: dict[str, dict[str, Any]] = {
    "ct": {"epochs": 2, "learning_rate": 0.1},
    # Of eleven samples two batches of five, of which two processes have three and two, and one that nobody cuts.
    "mixunlearn": {"epochs": 2, "batch_size": 5, "mask_penalty": 0.1, "adversary_momentum": 0.5},
    "nabla_tau": {"batch_size": 5, "alpha": 0.5, "epochs": 3},
    "neg_grad_plus": {"batch_size": 5},
    "regun": {"batch_size": 5, "learning_rate": "2x"},
    "sfron": {"batch_size": 5},
    "ssd": {"alpha": 0.5},  # its default asks for fewer samples to forget
    # Not Adam, which makes steps of what is but rounding in the biases of attention's keys: their gradient is zero.
    "texts": {"epochs": 2, "batch_size": 5, "optimizer": "sgd", "learning_rate": "0.5x"},
}


class Convolutional(nn.Sequential):
    """Takes rows of six numbers for images."""

    def __init__(self) -> None:
        super().__init__(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


@dataclass
class Teachers:
    """Two of them, of which one saw every other sample and the other the rest."""

    model: nn.Module
    fingerprint: str = "two"

    def __len__(self) -> int:
        return 2

    def answers(self, samples: Samples) -> Iterator[Answer]:
        even = torch.tensor([int(name[1:3]) % 2 == 0 for name in samples.ids.tolist()])
        x = samples.everything().x
        with torch.no_grad():
            yield self.model(x), even
            yield self.model(1.1 * x), ~even


@dataclass
class Requests:
    """Models that one process has trained, and what each is to forget: 11 of 48 samples, but for `trew` a class."""

    samples: Samples
    recipe: Recipe
    task: Classification
    originals: dict[str, TrainedModel] = field(default_factory=dict)
    alone: dict[str, State] = field(default_factory=dict)

    def original(self, name: str) -> TrainedModel:
        kind = name if name in ("ct", "texts") else "rows"
        if kind not in self.originals:
            self.originals[kind] = self._trained(kind)
        return self.originals[kind]

    def done(self, name: str, **options: Any) -> State:
        """The weights that a method leaves, or a training."""
        with computing(**options):
            model = self._trained("rows").model if name == "train" else self._unlearned(name)
        assert not model.training
        return {key: value.clone() for key, value in model.state_dict().items()}

    def alike(self, name: str, *divided: State) -> bool:
        """Whether these are the weights that one process leaves, and all the same; if not, says how far they are."""
        if name not in self.alone:
            self.alone[name] = self.done(name)
        alone, before = self.alone[name], dict(self.original(name).model.state_dict())
        change = 1.0 if name == "train" else largest_difference(alone, before)
        away = max(largest_difference(alone, state) for state in divided)
        apart = max(largest_difference(divided[0], state) for state in divided)
        print(f"{name}: {away:.1e} away where it changes {change:.1e}, {apart:.1e} apart")
        return apart == 0 and away <= min(1e-5, change / 100)

    def _trained(self, kind: str) -> TrainedModel:
        train, recipe = self._train(kind), self.recipe
        if kind == "ct":
            recipe = Recipe(model=Convolutional, epochs=3, batch_size=16, precision="float32")
        if kind == "texts":
            options = {"vocabulary": 20, "length": 6, "classes": 3, "width": 8, "heads": 2}
            recipe = Recipe(model="text_transformer", model_options=options, epochs=3, precision="float32")
        return workflow.train(Experiment(self._task(kind), recipe, train))

    def _unlearned(self, name: str) -> nn.Module:
        original, train = self.original(name), self._train(name)
        forget: Any = "class:2" if name == "trew" else train.ids[:11]
        unseen = None if name == "texts" else self.samples.select(self.samples.ids[48:])
        method = registry()["mixunlearn" if name == "texts" else name](**SETTINGS.get(name, {}))
        options: dict[str, Any] = {"teachers": Teachers(original.model)} if name == "never_seen" else {}
        split = Split.of(train, forget=forget, holdout=unseen)
        return workflow.unlearn(original, split, method, seed=1, measure=None, **options).model

    def _train(self, kind: str) -> Samples:
        train = self.samples.select(self.samples.ids[:48])
        if kind != "texts":
            return train
        tokens = 1 + (10 * train.everything().x).long()
        return Samples.from_tensors(tokens, train.everything().y, ids=train.ids.tolist())

    def _task(self, kind: str) -> Classification:
        return Classification(classes=3, tokens=True) if kind == "texts" else self.task


@pytest.fixture(scope="module")
def requests(tiny: Samples, tiny_recipe: Recipe, three_classes: Classification) -> Requests:
    return Requests(tiny, tiny_recipe, three_classes)


def in_two_processes(requests: Requests, ways: list[Way], folder: Any) -> dict[Way, list[State]]:
    """What each of two processes is left with, which are started once for all."""
    for _, name in ways:
        requests.original(name)  # before any process is made
    results = together(lambda: {way: requests.done(way[1], parallel=way[0]) for way in ways}, folder / "group")
    return {way: [states[way] for states in results] for way in ways}


@pytest.fixture(scope="module")
def few(requests: Requests, tmp_path_factory: pytest.TempPathFactory) -> dict[Way, list[State]]:
    ways = [*FEW, *((kind, "train") for kind in KINDS)]
    return in_two_processes(requests, ways, tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def many(requests: Requests, tmp_path_factory: pytest.TempPathFactory) -> dict[Way, list[State]]:
    return in_two_processes(requests, MANY, tmp_path_factory.mktemp("many"))


@pytest.mark.parametrize("way", FEW, ids=" ".join)
def test_two_processes_give_the_weights_of_one(requests: Requests, few: dict[Way, list[State]], way: Way) -> None:
    assert requests.alike(way[1], *few[way])


@pytest.mark.slow
@pytest.mark.parametrize("way", MANY, ids=" ".join)
def test_two_processes_give_the_weights_of_one_by_every_method_that_can(
    requests: Requests, many: dict[Way, list[State]], way: Way
) -> None:
    assert requests.alike(way[1], *many[way])


@pytest.mark.parametrize("name", [*sorted(DIVISIBLE), "texts"])
def test_pieces_of_a_batch_give_the_weights_of_whole_ones(
    requests: Requests, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[int] = []
    of = Division.of

    def noting(self: Division, parts: Any, **options: Any) -> Any:
        cut.append(len(of(self, parts, **options)))
        return of(self, parts, **options)

    monkeypatch.setattr(Division, "of", noting)
    assert requests.alike(name, requests.done(name, accumulate=2))
    assert cut.count(2) or (name in STEPLESS and not cut)


@pytest.mark.parametrize("way", KINDS)
def test_a_model_is_trained_by_two_processes_as_by_one(
    requests: Requests, few: dict[Way, list[State]], way: str
) -> None:
    assert requests.alike("train", *few[way, "train"])


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_methods_whose_batches_cannot_be_divided_are_refused_with_the_reason(
    requests: Requests, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry()[name], "__call__", lambda *_: pytest.fail("it was called"))
    monkeypatch.setattr("obliviate.workflow.unlearning.check_request", lambda *_: None)  # of what else it lacks here
    with pytest.raises(MethodError) as refused:
        requests.done(name, accumulate=2)
    assert f", got {name}, which {WHOLE[name]}; leave them out, or take one of these" in str(refused.value)
    assert "expected a method for parallel='ddp' and accumulate= of amun, bad_teacher, " in str(refused.value)
