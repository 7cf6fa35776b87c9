import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate import testing, workflow
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.data.stores import TensorStore
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods.base import settle
from obliviate.methods.mixunlearn.method import GAP, LEVEL, SPREAD, MixUnlearn
from obliviate.methods.mixunlearn.mix_block import MixBlock
from obliviate.methods.relative import whole
from obliviate.task import Classification, InputSpace, Task
from obliviate.testing.interruptions import MOMENTS, resumes
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale


class Net(nn.Module):
    """A convolution with batch norm, so that it matters which passes see which images in which mode."""

    def __init__(self) -> None:
        super().__init__()
        # No bias: its gradient would be rounding alone, and Adam makes a step of it.
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.norm(self.conv(x))).flatten(1))


@pytest.fixture(scope="module")
def images() -> Samples:
    """30 images in 3 classes, with the ids s00 … s29."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(30) % 3
    x = torch.rand(30, 1, 6, 6, generator=generator) + 0.3 * y[:, None, None, None]
    return Samples.from_tensors(x, y, ids=[f"s{i:02d}" for i in range(30)])


@pytest.fixture(scope="module")
def net(images: Samples, three_classes: Classification) -> nn.Module:
    return workflow.train(
        Experiment(three_classes, Recipe(model=Net, epochs=3, batch_size=8, precision="float32"), images)
    ).model


@pytest.fixture(scope="module")
def split(images: Samples) -> Split:
    return Split.of(images, forget=images.ids[:7])


SMALL = MixUnlearn(
    epochs=3,
    batch_size=4,
    generator_every=2,
    optimizer="adam",
    learning_rate=5e-3,
    momentum=0.9,
    weight_decay=0.0,
    generator_learning_rate=0.05,
    schedule="cosine",
)
HIDDEN = ("s03", "s11", "s20", "s29")


def forget(method: MixUnlearn, net: nn.Module, split: Split, task: Task, **options: Any) -> tuple[nn.Module, Run]:
    run = Run(task, seed=5, precision="float32", save_every=0.0, **options)
    return method(copy.deepcopy(net), split, run), run


# ------------------------------------------------------------------------------------------- what it computes


def written_out(method: MixUnlearn, original: nn.Module, split: Split, run: Run) -> tuple[nn.Module, list[Any]]:
    """The method as one loop, after the formulas of the paper; also mean M − λ and the spread of M of each step."""

    def similarity(logits: Tensor, p: Tensor) -> Tensor:
        f = logits.softmax(1)
        return 1 - (f * p).sum(1) / (f.norm(dim=1) * p.norm(dim=1))

    def unit(maps: Tensor) -> Tensor:
        small = F.adaptive_avg_pool2d(maps, 4).flatten(1)
        return small / small.norm(dim=1, keepdim=True)

    def levels() -> dict[str, Tensor]:
        forget, retain = split.forget.everything(), split.kept.everything()
        p, q = target(forget), target(retain)
        by_id = {}
        for name, prediction, fit in zip(forget.ids, p, unit(conv(forget.x)) @ unit(conv(retain.x)).T, strict=True):
            said = q[fit.argsort(descending=True)[: method.neighbours]].mean(0)
            level = 1 - (said @ prediction) / (said.norm() * prediction.norm())
            by_id[str(name)] = torch.ones(()) if method.neighbours is None else level
        return by_id

    def formula(near: Tensor, apart: Tensor, tau: float) -> Tensor:
        return (near.exp() / (apart / tau).exp().sum()).log().sum()

    def target(batch: Any) -> Tensor:
        p = original(batch.x).softmax(1).detach()
        if method.sharpen:
            p = p ** (1 / method.temperature)
            p = p / p.sum(1, keepdim=True)
        if method.labels == "agnostic":
            return p
        one_hot = torch.eye(3)[batch.y]
        hidden = torch.tensor([name in (method.unlabelled or ()) for name in batch.ids])
        return torch.where(hidden[:, None], p, one_hot)

    def ratio() -> float:
        return float(torch.distributions.Beta(method.alpha, method.alpha).sample())

    def conv(x: Tensor) -> Tensor:
        # The batch norm is the deepest map of 6×6; nothing is deeper.
        return original.norm(original.conv(x)).detach()  # pyright: ignore[reportCallIssue]

    model, adversary = copy.deepcopy(original), copy.deepcopy(original).eval()
    original.eval()
    torch.manual_seed(derive(run.seed, "generator"))
    generator = MixBlock(4)
    epochs, size = whole(method, "epochs", "batch_size")
    assert isinstance(method.learning_rate, float)
    optimizer = torch.optim.Adam(model.parameters(), lr=method.learning_rate)
    other = torch.optim.Adam(generator.parameters(), lr=method.generator_learning_rate)
    length = len(run.paired(split.forget, split.kept, size, 0, steps=method.steps))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * length)
    step, masks, most = 0, [], levels()
    for epoch in range(epochs):
        torch.manual_seed(derive(run.seed, "mixunlearn", epoch))
        for f, r in run.paired(split.forget, split.kept, size, epoch, steps=method.steps):
            n = min(len(f), len(r))
            p_f, p_r, level = target(f), target(r), torch.stack([most[str(name)] for name in f.ids])
            partner = torch.arange(n)
            if method.pairing == "nearest":
                n, partner = len(f), (unit(conv(f.x)) @ unit(conv(r.x)).T).argmax(1)
            x_r, p_m = r.x[partner], p_r[partner]
            different = (p_f[:n].argmax(1) != p_m.argmax(1)) | (not method.exclude_same_class)

            def mixed_loss(net: nn.Module, mask: Any, lam: float, tau: float) -> Tensor:
                logits = net(mask * f.x[:n] + (1 - mask) * x_r)  # noqa: B023
                near = (1 - lam) * similarity(logits, p_m)  # noqa: B023
                apart = similarity(logits, p_f[:n])  # noqa: B023
                if net is model:  # the generator looks for what brings the target back, whatever the level
                    apart = torch.where(apart > level[:n], level[:n], apart)  # noqa: B023
                apart = lam * apart
                return formula(near[different], apart[different], tau)  # noqa: B023

            loss = torch.zeros(())
            if method.mix:
                lam = mask = ratio() if not method.generator else 0.0
                if method.generator:
                    keep = method.adversary_momentum
                    state = model.state_dict()
                    learnt = dict(model.named_parameters())
                    mean = {
                        key: keep * value + (1 - keep) * state[key] if key in learnt else state[key]
                        for key, value in adversary.state_dict().items()
                    }
                    adversary.load_state_dict(mean)
                    if step % method.generator_every == 0:
                        lam = ratio()
                        mask = generator(conv(f.x[:n]), conv(x_r), lam, (6, 6))
                        value = -mixed_loss(adversary, mask, lam, method.tau_gen)
                        value = value + method.mask_penalty * ((mask.mean((1, 2, 3)) - lam) ** 2).sum()
                        other.zero_grad()
                        value.backward()
                        other.step()
                    lam = ratio()
                    mask = generator(conv(f.x[:n]), conv(x_r), lam, (6, 6)).detach()
                    masks.append([float(mask.mean()) - lam, float(mask.std())])
                model.train()
                loss = loss + mixed_loss(model, mask, lam, method.tau_mix)
            if method.real:
                model.train()
                logits = model(torch.cat([f.x, r.x]))
                apart, near = similarity(logits[: len(f)], p_f), similarity(logits[len(f) :], p_r)
                apart = torch.where(apart > level, level, apart)
                loss = loss + method.omega * formula(near, apart, method.tau_real)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
    return model, masks


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"neighbours": None, "pairing": "position"},
        {"neighbours": 3, "pairing": "position", "batch_size": 5},
        {"generator_every": 3, "adversary_momentum": 0.9, "mask_penalty": 0.1, "omega": 0.5, "tau_gen": 0.5},
        {"labels": "agnostic", "temperature": 0.5, "steps": "longest", "epochs": 1},
        {"labels": "agnostic", "sharpen": False},
        {"unlabelled": HIDDEN},
        {"exclude_same_class": True, "tau_mix": 1.5, "alpha": 2.0},
        {"generator": False, "layer": "norm"},
        {"mix": False},
        {"real": False},
    ],
    ids=lambda settings: ",".join(settings) or "defaults",
)
def test_training_is_that_of_the_formulas_written_out(
    changed: dict[str, Any], net: nn.Module, split: Split, three_classes: Classification
) -> None:
    method = replace(SMALL, **changed)
    unlearned, run = forget(method, net, split, three_classes)
    with torch.random.fork_rng(devices=[]):
        expected, masks = written_out(method, copy.deepcopy(net), split, run)
    moved = 0.0
    for key, value in unlearned.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key], atol=2e-5, rtol=2e-4, msg=key)
        moved = max(moved, float((value - net.state_dict()[key]).abs().max()))
    assert moved > 5e-3
    assert (run.notes[LEVEL] == 1) is (method.neighbours is None)
    if masks:
        means = torch.tensor(masks).mean(0)
        torch.testing.assert_close(torch.tensor([run.notes[GAP], run.notes[SPREAD]]), means, atol=1e-5, rtol=1e-4)
        assert means[1] > 1e-3
    else:
        assert set(run.notes) == {LEVEL}


def with_random_labels(split: Split, ids: Any) -> Split:
    """The same request with other labels for these ids."""

    def changed(samples: Samples) -> Samples:
        batch = samples.everything()
        wrong = torch.tensor([name in ids for name in batch.ids])
        y = torch.where(wrong, (batch.y + 1) % 3, batch.y)
        return Samples(TensorStore(batch.x, y), samples.ids, torch.arange(len(samples)))

    return Split(changed(split.forget), changed(split.kept))


def test_label_agnostic_unlearning_reads_no_label(net: nn.Module, split: Split, three_classes: Classification) -> None:
    everybody = {*split.forget.ids, *split.kept.ids}
    for method, same in ((replace(SMALL, labels="agnostic"), True), (SMALL, False)):
        unlearned = [
            forget(method, net, request, three_classes)[0] for request in (split, with_random_labels(split, everybody))
        ]
        assert (weights_sha256(unlearned[0]) == weights_sha256(unlearned[1])) is same


def test_the_labels_of_unlabelled_samples_are_not_read_and_the_others_are(
    net: nn.Module, split: Split, three_classes: Classification
) -> None:
    method = replace(SMALL, unlabelled=HIDDEN)
    of = {
        ids: weights_sha256(forget(method, net, with_random_labels(split, ids), three_classes)[0])
        for ids in ((), HIDDEN, ("s00",), ("s15",))
    }
    assert of[()] == of[HIDDEN]
    assert len(set(of.values())) == 3


def test_pairs_of_one_class_teach_nothing_where_they_are_excluded(
    net: nn.Module, images: Samples, three_classes: Classification
) -> None:
    zeros = images.select([name for name, y in zip(images.ids, images.everything().y, strict=True) if y == 0])
    split = Split.of(zeros, forget=zeros.ids[:4])
    for excluded in (False, True):
        method = replace(SMALL, real=False, exclude_same_class=excluded)
        unlearned = forget(method, net, split, three_classes)[0]
        same = all(
            weight.equal(before) for weight, before in zip(unlearned.parameters(), net.parameters(), strict=True)
        )
        assert same is excluded


def test_a_penalty_ties_the_mean_of_the_masks_to_the_ratio(
    net: nn.Module, split: Split, three_classes: Classification
) -> None:
    """A generator that learns fast and nothing but the penalty: a mask of λ is within its reach."""
    free = replace(SMALL, epochs=40, generator_every=1, generator_learning_rate=0.05, learning_rate=1e-6)
    gaps = [
        abs(forget(replace(free, mask_penalty=penalty), net, split, three_classes)[1].notes[GAP])
        for penalty in (0.0, 100.0)
    ]
    assert gaps[1] < 0.5 * gaps[0]


def test_bfloat16_gives_float32_weights_and_nearly_the_same_model(
    net: nn.Module, split: Split, images: Samples, three_classes: Classification
) -> None:
    models = [
        SMALL(copy.deepcopy(net), split, Run(three_classes, seed=5, precision=name)) for name in ("float32", "bfloat16")
    ]
    assert all(weight.dtype == torch.float32 for weight in models[1].parameters())
    differences = outputs(models[0], images).softmax(1) - outputs(models[1], images).softmax(1)
    assert 0 < differences.abs().mean() < 0.03


@pytest.mark.parametrize("labels", ["aware", "agnostic"])
def test_a_whole_class_is_forgotten_and_the_others_are_kept(
    labels: Any, original: nn.Module, few: Samples, data: Data, task: Classification, recipe: Recipe
) -> None:
    y, test = few.everything().y, data.test.everything().y
    split = Split.of(few, forget=few.ids[(y == 3).numpy()])
    unlearned = workflow.unlearn(
        workflow.TrainedModel.given(original, task, recipe=recipe), split, MixUnlearn(labels=labels)
    )
    right = {
        name: task.correct(outputs(model, data.test), test).float()
        for name, model in (("before", original), ("after", unlearned.model))
    }
    assert right["before"][test == 3].mean() > 0.5
    assert right["after"][test == 3].mean() < 0.05
    assert right["after"][test != 3].mean() > right["before"][test != 3].mean() - 0.05
    assert abs(unlearned.notes[GAP]) < 0.25


def test_part_of_some_classes_is_forgotten_and_the_classes_are_kept(
    original: nn.Module, few: Samples, data: Data, task: Classification, recipe: Recipe
) -> None:
    """Half of the samples of half of the classes: without levels, the classes go too."""
    y, test = few.everything().y, data.test.everything().y
    split = Split.of(few, forget=np.concatenate([few.ids[(y == label).numpy()][::2] for label in range(5)]))
    right = {}
    for neighbours in (None, 10):
        unlearned = workflow.unlearn(
            workflow.TrainedModel.given(original, task, recipe=recipe), split, MixUnlearn(neighbours=neighbours)
        ).model
        right[neighbours] = float(task.correct(outputs(unlearned, data.test), test).float()[test < 5].mean())
    assert right[10] > right[None] + 0.15


def test_a_class_that_is_forgotten_as_a_whole_has_no_level_below_the_most(
    net: nn.Module, images: Samples, three_classes: Classification
) -> None:
    zeros = images.ids[(images.everything().y == 0).numpy()]
    assert forget(SMALL, net, Split.of(images, forget=zeros), three_classes)[1].notes[LEVEL] == 1
    assert forget(SMALL, net, Split.of(images, forget=zeros[:2]), three_classes)[1].notes[LEVEL] < 0.9


# ------------------------------------------------------------------------------------------- its defaults


def sized(forget: int, retain: int) -> Split:
    """A split of these sizes, without content."""
    n = forget + retain
    train = Samples.from_tensors(torch.zeros(n, 1), torch.zeros(n).long(), ids=[str(i) for i in range(n)])
    return Split.of(train, forget=train.ids[:forget])


@pytest.mark.parametrize(
    ("forgotten", "retained", "recipe_epochs", "settings", "epochs"),
    [
        (200, 12800, 30, {}, 105),  # 2.1 passes over 100 batches, 2 in each epoch
        (200, 12800, 300, {}, 105),  # of a longer recipe as well
        (200, 1280, 30, {"steps": "longest"}, 3),  # 2.1 passes, 10 batches in each epoch, rounded up
        (200, 1280, 20, {}, 12),  # 1.4 passes are 14 steps, and 24 are the least
        (200, 5120, 1, {"steps": "longest"}, 2),  # the least number of epochs
        (200, 1280, 20, {"retain_passes": 4.0}, 20),
        (200, 1280, 20, {"epochs": "25%"}, 5),
    ],
)
def test_the_number_of_epochs_comes_from_passes_over_the_retain_set(
    forgotten: int, retained: int, recipe_epochs: int, settings: dict[str, Any], epochs: int
) -> None:
    scale = Scale(optimizer="sgd", learning_rate=0.2, epochs=recipe_epochs)
    assert whole(settle(MixUnlearn(**settings), sized(forgotten, retained), scale), "epochs") == (epochs,)


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("sgd", 0.0028), ("adam", 0.28), ("adamw", 0.28)])
def test_the_default_rate_is_that_by_which_adam_would_have_trained_the_model_and_some(
    optimizer: str, learning_rate: float
) -> None:
    scale = Scale(optimizer=optimizer, learning_rate=0.2, momentum=0.8, weight_decay=1e-3, batch_size=128, epochs=30)
    if optimizer == "sgd":
        scale = replace(scale, learning_rate=0.2 * 2**0.5)
    assert settle(MixUnlearn(), sized(200, 12800), scale) == MixUnlearn(
        epochs=105,
        retain_passes=2.1,
        optimizer="adam",
        learning_rate=learning_rate,
        momentum=0.9,
        weight_decay=0.0,
        batch_size=128,
        schedule="cosine",
        tau_gen=3.0,
        tau_mix=3.0,
        tau_real=1.5,
    )


# ------------------------------------------------------------------------------------------- tables and texts


class Words(nn.Module):
    """A layer token by token, then the mean over all tokens that are not padding (all zeros); id 0 is padding."""

    vocabulary = 12

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 8, padding_idx=0)
        self.each, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.table(tokens)

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.is_floating_point() else self.embed(x)
        present = x.any(2, keepdim=True)
        return self.last((torch.tanh(self.each(x)) * present).sum(1) / present.sum(1).clamp_min(1))


def table_world() -> tuple[nn.Module, Split, Classification]:
    """Three numbers, and a category of three values; the labels are drawn, so that they can only be learnt by heart."""
    generator = torch.Generator().manual_seed(3)
    y = torch.randint(3, (60,), generator=generator)
    category = F.one_hot(torch.randint(3, (60,), generator=generator), 3)
    x = torch.cat([1.5 * torch.rand(60, 3, generator=generator), category], 1)
    samples = Samples.from_tensors(x, y)
    task = Classification(classes=3, input_range=(0.0, 1.5), perturbable=(0, 1, 2))
    recipe = Recipe(model="mlp", model_options={"features": 6, "classes": 3, "hidden": (64,)}, epochs=40, batch_size=8)
    return workflow.train(Experiment(task, recipe, samples)).model, Split.of(samples, forget=samples.ids[:20]), task


def text_world() -> tuple[nn.Module, Split, Classification]:
    """Texts of two to seven tokens."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randint(1, 12, (60, 7), generator=generator)
    x = torch.where(torch.arange(7) < 2 + torch.arange(60)[:, None] % 6, x, 0)
    samples = Samples.from_tensors(x, (x == 5).sum(1).clamp(max=2))
    task = Classification(classes=3, tokens=True)
    recipe = Recipe(model=Words, epochs=5, batch_size=8)
    return workflow.train(Experiment(task, recipe, samples)).model, Split.of(samples, forget=samples.ids[:20]), task


WORLDS = {"table": table_world, "text": text_world}


def mixtures(method: MixUnlearn, model: nn.Module, split: Split, task: Task, monkeypatch: Any) -> list[Tensor]:
    """Every mixture that was made, those for the generator included."""
    triples, mixed = [], InputSpace.mixed

    def recording(self: InputSpace, first: Tensor, second: Tensor, share: Any) -> Tensor:
        point = mixed(self, first, second, share)
        triples.append(torch.stack([first, second, point.detach()]))
        return point

    monkeypatch.setattr(InputSpace, "mixed", recording)
    forget(method, model, split, task)
    return triples


@pytest.mark.parametrize("generator", [True, False])
def test_a_mixed_row_has_the_category_of_one_of_the_two_rows(generator: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, split, task = table_world()
    triples = torch.cat(mixtures(replace(SMALL, generator=generator), model, split, task, monkeypatch), 1)
    first, second, point = triples.unbind()
    assert (point[:, 3:].sum(1) == 1).all()
    sides = [(point[:, 3:] == row[:, 3:]).all(1) for row in (first, second)]
    assert (sides[0] | sides[1]).all()
    assert all((~side).any() for side in sides)
    low, high = torch.minimum(first, second)[:, :3], torch.maximum(first, second)[:, :3]
    assert ((point[:, :3] >= low - 1e-6) & (point[:, :3] <= high + 1e-6)).all()
    assert ((point[:, :3] > low) & (point[:, :3] < high)).float().mean() > 0.5


def test_a_mixed_text_is_mixed_where_both_have_tokens_and_ends_where_one_of_the_two_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, split, task = text_world()
    triples = torch.cat(mixtures(SMALL, model, split, task, monkeypatch), 1)
    first, second, point = (rows.any(2) for rows in triples.unbind())
    assert point[first & second].all()
    assert not point[~first & ~second].any()
    lengths = [mask.sum(1) for mask in (first, second, point)]
    assert ((lengths[2] == lengths[0]) | (lengths[2] == lengths[1])).all()
    alone = first ^ second
    assert (
        triples[2][alone & point] == (triples[0] + triples[1])[alone & point]
    ).all()  # whole: the other one is padding


def test_what_a_text_was_filled_up_with_changes_nothing() -> None:
    model, split, task = text_world()
    longer = [
        Samples.from_tensors(F.pad(part.everything().x, (0, 3)), part.everything().y, ids=part.ids)
        for part in (split.forget, split.kept)
    ]
    models = [forget(SMALL, model, request, task)[0] for request in (split, Split(*longer))]
    for weight, same in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(weight, same, atol=2e-3, rtol=0)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("generator", [True, False])
def test_everything_is_trained_with_the_embeddings_of_all_tokens_but_padding(world: str, generator: bool) -> None:
    model, split, task = WORLDS[world]()
    unlearned, run = forget(replace(SMALL, generator=generator), model, split, task)
    for name, weight in unlearned.named_parameters():
        moved = weight != model.get_parameter(name)
        assert moved.any(-1).tolist() == [False, *[True] * 11] if name == "table.weight" else moved.any()
    assert 0 < run.notes[LEVEL] < 1
    assert (run.notes.get(SPREAD, 0) > 0) is generator


@pytest.mark.parametrize("real", [True, False])
def test_texts_are_mixed_in_the_embeddings_that_the_model_has_by_then(real: bool) -> None:
    """Three epochs of one step each, written out without a generator; the pairs are those of the batches."""
    model, split, task = text_world()
    method = replace(SMALL, generator=False, pairing="position", neighbours=None, batch_size=40, real=real)
    unlearned, run = forget(method, model, split, task)

    net, seed = copy.deepcopy(model).train(), run.seed
    table = net.get_parameter("table.weight")
    assert isinstance(method.learning_rate, float)
    optimizer = torch.optim.Adam(net.parameters(), lr=method.learning_rate)
    scheduler = run.schedule(method.schedule, optimizer, steps=3)
    for epoch in range(3):
        ((forgotten, retained),) = run.paired(split.forget, split.kept, 40, epoch)
        torch.manual_seed(derive(seed, "mixunlearn", epoch))
        lam = float(torch.distributions.Beta(method.alpha, method.alpha).sample())
        p, q, rows = torch.eye(3)[forgotten.y], torch.eye(3)[retained.y], len(forgotten)

        def apart(logits: Tensor, target: Tensor) -> Tensor:
            return 1 - F.cosine_similarity(logits.softmax(1), target)

        first, second = table[forgotten.x], table[retained.x[:rows]]
        both = ((forgotten.x != 0) & (retained.x[:rows] != 0))[..., None]
        mixed = torch.where(both, lam * first + (1 - lam) * second, first if lam >= 0.5 else second)
        logits = net(mixed)
        losses = lam * apart(logits, p), (1 - lam) * apart(logits, q[:rows])
        loss = losses[1].sum() - rows * (losses[0] / method.tau_mix).exp().sum().log()
        if real:
            held, kept = apart(net(forgotten.x), p), apart(net(retained.x), q)
            loss = loss + method.omega * (kept.sum() - len(kept) * (held / method.tau_real).exp().sum().log())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    for name, value in net.named_parameters():
        torch.testing.assert_close(unlearned.get_parameter(name), value, atol=2e-4, rtol=0)


def test_the_generator_plays_against_the_embeddings_that_the_model_has_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split, task = text_world()
    method = replace(SMALL, generator_every=1, epochs=1, batch_size=5, learning_rate=0.05)
    batches = [mixture[0] for mixture in mixtures(method, model, split, task, monkeypatch)]
    assert len(batches) == 8  # a step of the generator, then one of the model, four times
    rows = model.get_parameter("table.weight").detach()

    def is_known(points: Tensor) -> bool:
        apart = (points.detach().flatten(0, 1)[:, None] - rows).norm(dim=-1)
        return bool((apart.amin(1) < 1e-4).all())

    assert [is_known(points) for points in batches] == [True, True, *[False] * 6]
    for generator, model_step in zip(batches[::2], batches[1::2], strict=True):
        assert generator.equal(model_step)


def test_a_text_model_is_trained_alike_after_a_kill(tmp_path: Path) -> None:
    model, split, task = text_world()
    samples = split.forget.joined(split.kept)
    bench = testing.Bench(model, task, Recipe(model=Words), samples, split, samples)
    for moment in MOMENTS:
        assert resumes(SMALL, bench, tmp_path / moment.replace(" ", "-"), moment)


@pytest.mark.parametrize("world", WORLDS)
def test_the_targets_of_the_forget_set_fade_and_those_of_the_retain_set_stay(world: str) -> None:
    model, split, task = WORLDS[world]()
    method = replace(SMALL, epochs=15, learning_rate=0.02, neighbours=None)
    unlearned = forget(method, model, split, task)[0]

    def loss(net: nn.Module, samples: Samples) -> float:
        return float(task.per_sample(outputs(net, samples), samples.everything().y).mean())

    rise = [loss(unlearned, part) - loss(model, part) for part in (split.forget, split.kept)]
    assert rise[0] > rise[1] + 0.1


# ------------------------------------------------------------------------------------------- interruptions


def test_what_is_known_of_the_masks_survives_an_interruption(
    net: nn.Module, split: Split, three_classes: Classification, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def dying(stage: str, done: float, total: float) -> None:
        if done == 2:
            raise Killed

    method = replace(SMALL, adversary_momentum=0.9)
    whole, run = forget(method, net, split, three_classes)
    with pytest.raises(Killed):
        forget(method, net, split, three_classes, folder=tmp_path, progress=dying)
    resumed, again = forget(method, net, split, three_classes, folder=tmp_path)
    assert weights_sha256(resumed) == weights_sha256(whole)
    assert again.notes == run.notes
    assert set(run.notes) == {GAP, SPREAD, LEVEL}
    finished, third = forget(method, net, split, three_classes, folder=tmp_path)
    assert weights_sha256(finished) == weights_sha256(whole)
    assert third.notes == run.notes


# ------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": "none"}, "expected labels of aware, agnostic, got 'none'; name one of them"),
        ({"steps": "retain"}, "expected steps of forget, longest, got 'retain'; name one of them"),
        ({"pairing": "random"}, "expected pairing of nearest, position, got 'random'; name one of them"),
        ({"neighbours": 0}, "expected neighbours above 0, got 0; correct the setting of mixunlearn"),
        ({"adversary_momentum": 1.0}, r"expected adversary_momentum in \[0, 1\), got 1.0; 0 is"),
        ({"mask_penalty": -1.0}, "expected mask_penalty of 0 or more, got -1.0; 0 is none"),
        ({"mask_penalty": float("nan")}, "expected mask_penalty of 0 or more, got nan"),
        ({"mix": False, "real": False}, "expected a loss on mixed or on real samples, got neither; set"),
        ({"labels": "agnostic", "unlabelled": ("a",)}, "expected no ids of unlabelled samples .* got 1; use"),
        *[
            ({name: 0}, f"expected {name} above 0, got 0; correct the setting of mixunlearn")
            for name in (
                *("tau_gen", "tau_mix", "tau_real", "omega", "alpha", "temperature"),
                *("generator_learning_rate", "generator_every"),
            )
        ],
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_out_of_range_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        replace(MixUnlearn(), **changed)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("tokens", [False, True])
def test_inputs_of_no_known_shape_are_refused_before_any_work(
    tokens: bool, tiny: Samples, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "epochs", lambda *_, **__: pytest.fail("work has begun"))
    batch = tiny.everything()
    odd = Samples.from_tensors(batch.x.view(-1, 2, 3), batch.y, ids=tiny.ids)
    task = Classification(classes=3, tokens=tokens)
    with pytest.raises(MethodError, match=r"expected images .* for mixunlearn, got samples of shape \(2, 3\); reshape"):
        forget(MixUnlearn(), tiny_recipe.build(seed=0), Split.of(odd, forget=tiny.ids[:5]), task)


@pytest.mark.usefixtures("unchecked")
def test_a_table_has_no_layer_to_name_and_must_say_what_may_be_mixed(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    split, model = Split.of(tiny, forget=tiny.ids[:5]), tiny_recipe.build(seed=0)
    with pytest.raises(MethodError, match=r"expected no layer for rows of a table, .*, got 'layers\.1'; leave it out"):
        forget(replace(SMALL, layer="layers.1"), model, split, three_classes)
    with pytest.raises(MethodError, match=r"expected a task with continuous inputs, got .*; give the task an"):
        forget(SMALL, model, split, Classification(classes=3, input_range=None))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layer": "norn"}, "expected the name of a layer, got 'norn' of Net; choose one of norm"),
        ({"layer": "last"}, "expected a layer whose output is a feature map .*, got 'last' of Net; .*conv, norm"),
        ({"unlabelled": ("s03", "x1", "x2")}, "expected unlabelled ids .*, got .*x1.*x2.* of neither; correct"),
    ],
)
def test_layers_and_ids_that_are_not_there_are_refused_before_any_work(
    changed: dict[str, Any],
    message: str,
    net: nn.Module,
    split: Split,
    three_classes: Classification,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Run, "epochs", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(MethodError, match=message):
        forget(replace(SMALL, **changed), net, split, three_classes)


def test_a_model_without_feature_maps_is_refused_unless_there_is_no_generator(
    images: Samples, split: Split, three_classes: Classification
) -> None:
    model = Recipe(model="mlp", model_options={"features": 36, "classes": 3, "hidden": (8,)}).build(seed=0)
    with pytest.raises(MethodError, match=r"expected a model with feature maps .*, got MLP without; .* generator"):
        forget(SMALL, model, split, three_classes)
    unlearned, _ = forget(replace(SMALL, generator=False), model, split, three_classes)
    assert weights_sha256(unlearned) != weights_sha256(model)


def test_the_layer_can_be_named(net: nn.Module, split: Split, three_classes: Classification) -> None:
    chosen, named, other = (
        weights_sha256(forget(replace(SMALL, layer=layer), net, split, three_classes)[0])
        for layer in (None, "norm", "conv")
    )
    assert chosen == named != other
