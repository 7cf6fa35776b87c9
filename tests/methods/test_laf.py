import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.laf import LAF
from obliviate.models.vae import VAE
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

SMALL = LAF(
    epochs=3,
    batch_size=4,
    learning_rate=3e-3,
    align_learning_rate=5e-3,
    schedule="constant",
    latent=2,
    vae_epochs=2,
    repair_epochs=2,
)


class Net(nn.Module):
    """Batch norm, so that the mode matters; no bias before it, whose gradient would be rounding alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8, bias=False)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)

    def extract(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.first(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.extract(x))


@pytest.fixture(scope="module")
def net(tiny: Samples, three_classes: Classification) -> nn.Module:
    return workflow.train(
        Experiment(three_classes, Recipe(model=Net, epochs=3, batch_size=8, precision="float32"), tiny)
    ).model


@pytest.fixture(scope="module")
def split(tiny: Samples) -> Split:
    return Split.of(tiny, forget=tiny.ids[:10])


def unlearned(method: LAF, net: nn.Module, split: Split, task: Classification) -> nn.Module:
    return method(copy.deepcopy(net), split, Run(task, precision="float32"))


def written_out(net: Any, split: Split, run: Run, *, repair: bool) -> nn.Module:
    """The method from its formulas, for `SMALL`: no engine but the order of the batches and the seeds."""

    def fitted(name: str, samples: Samples) -> nn.Module:
        with torch.no_grad():
            e = net.extract(samples.everything().x)
        torch.manual_seed(derive(run.seed, "vae", name))
        vae = VAE(8, latent=2)
        rows = Samples.from_tensors(e, torch.zeros(len(e)), ids=samples.ids)
        optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
        for epoch in range(2):
            torch.manual_seed(derive(run.seed, f"laf_vae_{name}", epoch))
            for batch in run.batches(rows, 4, epoch):
                back, mean, logs = vae(batch.x)
                kl = -0.5 * (1 + logs - mean**2 - logs.exp()).sum()
                loss = (((back - batch.x) ** 2).sum() + 0.025 * kl) / len(batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return vae

    def misfit(vae: nn.Module, e: Tensor) -> Tensor:
        d = ((vae(e)[0] - e) ** 2).sum(1)
        return torch.exp(d / (d + 1)).sum()

    of_forget, of_retain = fitted("forget", split.forget), fitted("retain", split.kept)
    model = copy.deepcopy(net)
    extractor = [*model.first.parameters(), *model.norm.parameters()]
    unlearner, aligner = torch.optim.Adam(extractor, lr=3e-3), torch.optim.Adam(extractor, lr=5e-3)
    for epoch in range(3):
        torch.manual_seed(derive(run.seed, "laf", epoch))
        for forget, retain in run.paired(split.forget, split.kept, 4, epoch):
            loss = misfit(of_retain, model.extract(retain.x)) - misfit(of_forget, model.extract(forget.x))
            unlearner.zero_grad()
            loss.backward()
            unlearner.step()
            near, apart = (
                1 - F.cosine_similarity(model.extract(batch.x), net.extract(batch.x).detach())
                for batch in (retain, forget)
            )
            loss = (near.exp() / (apart / SMALL.tau).exp().sum()).log().sum()
            aligner.zero_grad()
            loss.backward()
            aligner.step()
    if repair:
        assert isinstance(SMALL.repair_learning_rate, float)
        optimizer = torch.optim.Adam(model.last.parameters(), lr=SMALL.repair_learning_rate)
        for epoch in range(2):
            for batch in run.batches(split.kept, 4, epoch):
                loss = F.cross_entropy(model(batch.x), batch.y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model


@pytest.mark.parametrize("labels", ["aware", "agnostic"])
def test_training_is_that_of_the_formulas_written_out(
    labels: Any, net: nn.Module, split: Split, three_classes: Classification
) -> None:
    run = Run(three_classes, precision="float32")
    expected = written_out(net, split, run, repair=labels == "aware")
    forgot = unlearned(replace(SMALL, labels=labels), net, split, three_classes)
    for name, value in forgot.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], atol=2e-5, rtol=1e-4)
        if name.startswith("first"):
            assert float((value - net.state_dict()[name]).abs().mean()) > 0.005


def test_label_agnostic_unlearning_reads_no_label_and_leaves_the_classifier_alone(
    net: nn.Module, split: Split, three_classes: Classification
) -> None:
    agnostic = replace(SMALL, labels="agnostic")

    def with_random_labels(samples: Samples) -> Samples:
        batch = samples.everything()
        return Samples.from_tensors(batch.x, (batch.y + 1) % 3, ids=samples.ids)

    other = Split(with_random_labels(split.forget), with_random_labels(split.kept))
    forgot = unlearned(agnostic, net, split, three_classes)
    assert weights_sha256(unlearned(agnostic, net, other, three_classes)) == weights_sha256(forgot)
    assert forgot.get_parameter("last.weight").equal(net.get_parameter("last.weight"))
    assert not forgot.get_parameter("first.weight").equal(net.get_parameter("first.weight"))


def test_the_label_aware_repair_changes_the_classifier_only(
    net: nn.Module, split: Split, three_classes: Classification
) -> None:
    agnostic = unlearned(replace(SMALL, labels="agnostic"), net, split, three_classes).state_dict()
    aware = unlearned(SMALL, net, split, three_classes)
    for name, value in aware.state_dict().items():
        assert value.equal(agnostic[name]) is not name.startswith("last")
    assert all(weight.requires_grad for weight in aware.parameters())


def test_a_smaller_tau_moves_forgotten_representations_further(
    net: Any, split: Split, three_classes: Classification
) -> None:
    x = split.forget.everything().x
    moved = []
    for tau in (1.0, 20.0):
        forgot: Any = unlearned(replace(SMALL, tau=tau, learning_rate=1e-6), net, split, three_classes)
        with torch.no_grad():
            moved.append(float(1 - F.cosine_similarity(forgot.extract(x), net.extract(x)).mean()))
    assert moved[0] > 2 * moved[1]


@pytest.mark.parametrize("labels", ["aware", "agnostic"])
def test_a_whole_class_is_forgotten_and_the_others_are_kept(
    labels: Any, original: nn.Module, few: Samples, task: Classification, data: Data
) -> None:
    split = Split.of(few, forget=few.ids[few.everything().y.numpy() == 3])
    forgot = workflow.unlearn(workflow.TrainedModel.given(original, task), split, LAF(labels=labels)).model
    y = data.test.everything().y.numpy()

    def accuracy(model: nn.Module, chosen: np.ndarray) -> float:
        samples = data.test.select(data.test.ids[chosen])
        return 100 * float(task.correct(outputs(model, samples), samples.everything().y).float().mean())

    assert accuracy(original, y == 3) > 50
    assert accuracy(forgot, y == 3) < 10
    assert accuracy(forgot, y != 3) > accuracy(original, y != 3) - 5


def test_epochs_are_settled_from_the_sizes(split: Split) -> None:
    assert LAF().settled(split).epochs == 12
    assert LAF(batch_size=4).settled(split).epochs == 4  # a third of 13 retain batches, at least 12 steps of 3 an epoch
    assert LAF(batch_size=1).settled(split).epochs == 2  # a third of 50 steps of 10 an epoch
    assert LAF(epochs=7).settled(split).epochs == 7


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": "none"}, "expected labels of aware, agnostic, got 'none'; correct the setting of laf"),
        ({"tau": 0.0}, "expected tau above 0, got 0.0"),
        ({"vae_epochs": 0}, "expected vae_epochs above 0, got 0"),
        ({"repair_learning_rate": -1.0}, "expected repair_learning_rate above 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_out_of_range_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        LAF(**changed)


def test_a_layer_that_is_not_there_is_refused_before_any_work(
    net: nn.Module, split: Split, three_classes: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("fit", "once", "epochs"):
        monkeypatch.setattr(Run, work, lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(MethodError, match="expected a layer of Net, got 'lost'; close names are last"):
        workflow.unlearn(workflow.TrainedModel.given(net, three_classes), split, LAF(layer="lost"))
