"""What references are asked about samples: synthetic outputs whose answers are known, and models that were trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from obliviate import workflow
from obliviate.data.rules import Among, Rule
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, DataError
from obliviate.experiment import Experiment
from obliviate.references.logits import StoredLogits, write_logits
from obliviate.references.plan import leave_half_out
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification, Regression, Task
from obliviate.training.recipe import Recipe
from obliviate.workflow.choosing import look, memorised, mislabelled

IDS = ["plain", "learnt by heart", "more so", "wrong label", "more wrong", "test"]


def train_set(y: torch.Tensor | None = None) -> Samples:
    return Samples.from_tensors(torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1]) if y is None else y, ids=IDS[:5])


def pool_of(outputs: np.ndarray, folder: Path, included: np.ndarray) -> ReferencePool:
    paths = [folder / f"{number}.safetensors" for number in range(len(outputs))]
    sha256 = [write_logits(path, torch.from_numpy(logits).float()) for path, logits in zip(paths, outputs, strict=True)]
    order = np.array([3, 0, 5, 1, 4, 2])  # the population is in another order than the training set
    logits = StoredLogits.open(paths, sha256, samples=6)
    return ReferencePool(np.array(IDS)[order], logits, included[:, order], "", 0.0, folder, 0)


@pytest.fixture
def pool(tmp_path: Path) -> ReferencePool:
    """Of three classes: true logits are high for everyone, for members, or for nobody, and more so for some."""
    included = leave_half_out(6, 6, seed=0)
    labels, logits = np.array([0, 1, 2, 0, 1, 0]), np.zeros((6, 6, 3))
    for sample, (inside, outside) in enumerate([(4, 3), (4, -3), (5, -3), (-1, -5), (-1, -6), (1, 1)]):
        logits[:, sample, labels[sample]] = np.where(included[:, sample], inside, outside)
    return pool_of(logits[:, [3, 0, 5, 1, 4, 2]], tmp_path, included)


def chosen(rule: Rule, train: Samples) -> tuple[list[str], str, list[float]]:
    choice = rule.choose(Among(train))
    (values,) = choice.scores.values()
    return list(choice.ids), choice.rule, list(values)


def test_the_most_memorised_come_first_and_ties_go_to_margins(pool: ReferencePool):
    task = Classification(classes=3)
    choice = chosen(memorised(3, pool, task), train_set())
    assert choice == (["more so", "learnt by heart", "more wrong"], "the 3 most memorised by 6 references", [1, 1, 0])
    assert chosen(memorised(0.2, pool, task), train_set())[0] == ["more so"]
    assert memorised(0.2, pool, task).text == "memorised:0.2"
    assert Split.of(train_set(), forget=memorised(1, pool, task)).forget.ids.tolist() == ["more so"]


def test_the_most_contradicted_labels_come_first_and_ties_go_to_margins(pool: ReferencePool):
    choice = chosen(mislabelled(0.8, pool, Classification(classes=3)), train_set())
    assert choice[0] == ["more wrong", "wrong label", "learnt by heart", "more so"]
    assert choice[1:] == ("the 4 whose labels 6 references contradict most", [0, 0, 0, 0])


def test_what_is_read_is_of_each_reference_and_sample(pool: ReferencePool):
    seen = look(train_set(), pool, Classification(classes=3))
    assert seen.included.tolist() == leave_half_out(6, 6, seed=0)[:, :5].tolist()
    assert seen.right[:, 1].tolist() == seen.included[:, 1].tolist()
    assert seen.margins[:, 0].tolist() == pytest.approx((np.where(seen.included[:, 0], 4, 3) - np.log(2)).tolist())


def test_other_tasks_are_ranked_by_their_own_scores(tmp_path: Path):
    included = leave_half_out(4, 6, seed=0)
    nll, right = np.full((4, 6), 0.5), np.ones((4, 6))
    right[:, 2] = included[:, 2]
    right[:, 4] = np.where(included[:, 4], 0.75, 0.25)
    outputs = np.stack([nll, -nll, right], axis=2)[:, [3, 0, 5, 1, 4, 2]]
    task: Task = Regression(outputs=1)
    train = train_set(torch.rand(5, 1))
    assert chosen(memorised(2, pool_of(outputs, tmp_path, included), task), train)[::2] == (
        ["more so", "more wrong"],
        [1, 0.5],
    )


def test_samples_outside_the_pool_are_refused(pool: ReferencePool):
    more = train_set().joined(Samples.from_tensors(torch.rand(1, 2), torch.tensor([0]), ids=["new"]))
    with pytest.raises(AuditError, match=r"^expected samples of the reference pool, got 'new' outside it;"):
        memorised(1, pool, Classification(classes=3)).choose(Among(more))


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path, unchecked: None):
    included = leave_half_out(4, 6, seed=0)
    pool = pool_of(np.full((4, 6, 3), np.nan), tmp_path, included)
    with pytest.raises(AuditError, match=r"^expected finite outputs, got NaN or Inf in "):
        memorised(1, pool, Classification(classes=3)).choose(Among(train_set()))


@pytest.mark.parametrize("rule", [memorised, mislabelled])
@pytest.mark.parametrize("amount", [0, -1, 0.0, 1.0, 1.5, float("nan")])
def test_an_amount_out_of_range_is_refused_at_once(rule, amount: float, pool: ReferencePool):
    with pytest.raises(
        DataError, match=rf"^expected {rule.__name__} with a share in \(0, 1\), or a whole number .*, got "
    ):
        rule(amount, pool, Classification(classes=3))


@pytest.mark.parametrize("rule", [memorised, mislabelled])
def test_all_samples_are_too_many(rule, pool: ReferencePool):
    with pytest.raises(DataError, match=r"a number of samples in 1 … 4, or a share in \(0, 1\), got 5;"):
        rule(5, pool, Classification(classes=3)).choose(Among(train_set()))


def test_references_find_labels_that_were_changed(tiny_recipe: Recipe, tmp_path: Path):
    """Three classes that are far apart, and four labels that are wrong: no model without them would guess these."""
    generator = torch.Generator().manual_seed(0)
    y, wrong = torch.arange(60) % 3, torch.tensor([4, 17, 30, 41])
    x = torch.eye(3)[y].repeat(1, 2) + 0.1 * torch.randn(60, 6, generator=generator)
    y[wrong] = (y[wrong] + 1) % 3
    train, unseen = Samples.from_tensors(x[:48], y[:48]), Samples.from_tensors(x[48:], y[48:])
    task, recipe = Classification(classes=3), replace(tiny_recipe, epochs=5, batch_size=4)
    pool = workflow.train_references(Experiment(task, recipe, train, unseen), folder=tmp_path, models=4, workers=0)
    assert set(mislabelled(4, pool, task).choose(Among(train)).ids) == set(train.ids[wrong.numpy()])
