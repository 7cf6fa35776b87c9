"""The estimators are estimators by scikit-learn's own checks, and forget what they are told to."""

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.split import Split
from obliviate.errors import DataError, MethodError, RecipeError
from obliviate.estimator import UnlearningClassifier, UnlearningRegressor
from obliviate.experiment import Experiment
from obliviate.methods.amun import AMUN
from obliviate.training.run import Run

TYPES = {"check_do_not_raise_errors_in_init_or_set_params": "types are checked at run time here, as users do not do"}


@parametrize_with_checks(
    [UnlearningClassifier(epochs=10), UnlearningRegressor(epochs=10)], expected_failed_checks=lambda _: TYPES
)
def test_keeps_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@dataclass(frozen=True, kw_only=True)
class Spy:
    """Moves the weights a little, and tells which rows it was given."""

    name: ClassVar[str] = "spy"
    needs: ClassVar[frozenset[str]] = frozenset({"retain"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "a test"
    seen: ClassVar[list[tuple[set[str], set[str]]]] = []

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        self.seen.append((set(split.forget.ids.tolist()), set(split.kept.ids.tolist())))
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(1e-3)
        return model


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """90 rows of 6 numbers in 3 classes that are named by strings."""
    generator = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = generator.normal(size=(3, 6))[y] + 0.5 * generator.normal(size=(90, 6))
    return x.astype(np.float32), np.array(["ash", "birch", "cedar"])[y]


@pytest.fixture(scope="module")
def fitted(rows: tuple[np.ndarray, np.ndarray]) -> UnlearningClassifier:
    return UnlearningClassifier(epochs=10, random_state=3).fit(*rows)


def test_labels_may_be_strings_and_every_class_has_a_probability(
    rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier
) -> None:
    x, y = rows
    assert fitted.score(x, y) > 0.9
    assert fitted.predict_proba(x).sum(1) == pytest.approx(1)
    assert (fitted.classes_[fitted.predict_proba(x).argmax(1)] == fitted.predict(x)).all()
    assert cross_val_score(UnlearningClassifier(epochs=5, random_state=0), x, y, cv=2).min() > 0.8


def test_a_second_request_never_sees_what_was_forgotten_first(
    rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier
) -> None:
    Spy.seen.clear()
    model = copy.deepcopy(fitted).unlearn(["3", "4"], Spy()).unlearn(7, Spy())
    everything = {str(row) for row in range(90)}
    assert Spy.seen == [({"3", "4"}, everything - {"3", "4"}), ({"7"}, everything - {"3", "4", "7"})]
    assert model.forgotten_.tolist() == ["3", "4", "7"]
    assert set(model.ids_) == everything - {"3", "4", "7"}


def test_nothing_of_a_forgotten_row_is_kept(rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier) -> None:
    extreme = rows[0].argmax(0)[0]  # its first number is the range that adversarial examples may use
    row, greatest = rows[0][extreme].tobytes(), float(rows[0][extreme, 0])
    model = copy.deepcopy(fitted)
    assert row in pickle.dumps(model)
    assert greatest in model.task_.input_range[1]  # pyright: ignore[reportAttributeAccessIssue]
    model.unlearn(extreme, Spy())
    assert row not in pickle.dumps(model)
    assert greatest not in model.task_.input_range[1]  # pyright: ignore[reportAttributeAccessIssue]


def test_retraining_is_a_training_on_the_rest(fitted: UnlearningClassifier) -> None:
    gone = [str(row) for row in range(20)]
    again = workflow.train(
        Experiment(fitted.task_, fitted.recipe_, fitted.samples_.without(gone), seed=derive(fitted.seed_, "unlearn", 0))
    )
    model = copy.deepcopy(fitted).unlearn(range(20), "retrain")
    for weight, same in zip(model.model_.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(weight, same)


@pytest.mark.parametrize("method", [None, "amun", AMUN(epochs=1)], ids=["default", "name", "method"])
def test_forgets_by_a_name_or_a_method_and_stays_useful(
    method: Any, rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier
) -> None:
    model = copy.deepcopy(fitted).unlearn([0, 1, 2], method)
    assert model.score(*rows) > 0.85
    assert not np.array_equal(model.predict_proba(rows[0]), fitted.predict_proba(rows[0]))


def test_the_same_random_state_gives_the_same_model(
    rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier
) -> None:
    again: Any = clone(fitted)
    first, second = (copy.deepcopy(again).fit(*rows).unlearn([5, 9]) for _ in range(2))
    assert np.array_equal(first.predict_proba(rows[0]), second.predict_proba(rows[0]))
    another = again.set_params(random_state=4).fit(*rows)
    assert not np.array_equal(another.predict_proba(rows[0]), fitted.predict_proba(rows[0]))


def test_rows_have_the_names_that_they_are_given(rows: tuple[np.ndarray, np.ndarray]) -> None:
    names = [f"patient {row}" for row in range(90)]
    model = UnlearningClassifier(epochs=2, random_state=0).fit(*rows, ids=names).unlearn("patient 8", Spy())
    assert model.forgotten_.tolist() == ["patient 8"]
    assert model.fit(*rows).forgotten_.tolist() == []
    with pytest.raises(DataError, match="expected one id a row, got 3 ids for 90 rows"):
        model.fit(*rows, ids=["a", "b", "c"])


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["3"], "got '3' of request 1, which are forgotten already"),
        (["90"], "expected ids of these 89 samples, got '90'"),
        ([5, 5], "expected ids to forget without duplicates, got '5' more than once"),
        ([], "expected at least one id to forget, got none"),
        ([row for row in range(90) if row != 3], "expected a forget set smaller than the training set, got all 89"),
    ],
)
def test_refuses_ids_that_cannot_be_forgotten_and_stays_as_it_was(
    ids: Any, problem: str, rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier
) -> None:
    model = copy.deepcopy(fitted).unlearn("3", Spy())
    before = model.predict_proba(rows[0])
    with pytest.raises(DataError, match=problem):
        model.unlearn(ids)
    assert len(model.ids_) == 89
    assert np.array_equal(model.predict_proba(rows[0]), before)


def test_a_method_that_needs_unseen_rows_is_given_them(
    rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier
) -> None:
    with pytest.raises(MethodError, match="expected a holdout set for nabla_tau, got none"):
        copy.deepcopy(fitted).unlearn([0], "nabla_tau")
    unseen = rows[0][:9] + 0.01, rows[1][:9]
    assert copy.deepcopy(fitted).unlearn([0], "nabla_tau", holdout=unseen).forgotten_.tolist() == ["0"]
    with pytest.raises(DataError, match="expected classes of 'ash', 'birch', 'cedar', got 'oak'"):
        copy.deepcopy(fitted).unlearn([0], "nabla_tau", holdout=(unseen[0], np.repeat("oak", 9)))


def test_columns_that_may_not_be_perturbed_are_left_alone(rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = UnlearningClassifier(epochs=3, perturbable=[0, 2], random_state=0).fit(*rows)
    space = model.task_.space(model.model_)
    assert space is not None
    assert space.free is not None
    assert space.free.tolist() == [True, False, True, False, False, False]


def test_a_network_of_ones_own_is_trained(rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = UnlearningClassifier(module=linear, epochs=40, random_state=0).fit(*rows)
    assert model.score(*rows) > 0.85
    assert isinstance(model.unlearn([0], "fine_tune").model_, nn.Linear)
    with pytest.raises(RecipeError, match="expected epochs above 0, got 0"):
        UnlearningClassifier(epochs=0).fit(*rows)


def linear(*, features: int, outputs: int) -> nn.Module:
    return nn.Linear(features, outputs)


def test_numbers_are_forgotten_by_retraining_unless_told_otherwise(rows: tuple[np.ndarray, np.ndarray]) -> None:
    x = rows[0]
    y = x[:, 0] - x[:, 1]
    y[:3] += 6  # three rows that only memory explains
    model = UnlearningRegressor(epochs=150, random_state=0).fit(x, y)
    before = np.abs(model.predict(x[:3]) - y[:3]).mean()
    after = np.abs(model.unlearn(range(3)).predict(x[:3]) - y[:3]).mean()
    assert before + 2 < after
    with pytest.raises(MethodError, match="expected a task that amun serves"):
        model.unlearn([5], "amun")


def test_an_audit_tells_a_model_that_forgot_by_name(
    rows: tuple[np.ndarray, np.ndarray], fitted: UnlearningClassifier, tmp_path: Path
) -> None:
    x, y = rows
    unseen = x[:45] + np.float32(0.01), y[:45]
    with pytest.raises(DataError, match="expected the 0 forgotten rows, got 30"):
        fitted.audit(x[:30], y[:30], *unseen, folder=tmp_path)
    model = copy.deepcopy(fitted).unlearn(range(30), "retrain")
    result = model.audit(x[:30], y[:30], *unseen, folder=tmp_path, models=4)
    assert [model.name for model in result.models] == ["UnlearningClassifier"]
    assert result.findings.baseline == "references"
    assert result.models[0].accuracy.forget.value == pytest.approx(100 * model.score(x[:30], y[:30]))


# pandas


@pytest.fixture(scope="module")
def frame(rows: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """The rows in another order, under labels that are not their places."""
    order = np.random.default_rng(1).permutation(90)
    return pd.DataFrame(rows[0][order], columns=list("abcdef"), index=order + 100)


@pytest.fixture(scope="module")
def of_frame(rows: tuple[np.ndarray, np.ndarray], frame: pd.DataFrame) -> UnlearningClassifier:
    return UnlearningClassifier(epochs=5, random_state=3).fit(frame, rows[1][frame.index - 100])


def test_the_index_of_a_frame_names_its_rows(of_frame: UnlearningClassifier, frame: pd.DataFrame) -> None:
    assert of_frame.ids_.tolist() == frame.index.astype(str).tolist()
    model = copy.deepcopy(of_frame).unlearn([117, np.int64(103), "105"], Spy())
    assert model.forgotten_.tolist() == ["117", "103", "105"]
    kept = model.samples_.everything().x.numpy()
    assert np.array_equal(kept, frame.drop([117, 103, 105]).to_numpy())


@pytest.mark.parametrize("column", ["a", "b"])
def test_a_frame_of_rows_and_its_index_are_the_same_request(
    column: str, of_frame: UnlearningClassifier, frame: pd.DataFrame
) -> None:
    values = frame[column].to_numpy()
    mask = values > np.quantile(values, 0.9)
    for request in (frame[mask], frame.index[mask], frame[mask].index.to_series()):
        model = copy.deepcopy(of_frame).unlearn(request, Spy())
        assert model.forgotten_.tolist() == [str(label) for label in frame.index[mask]]


@pytest.mark.parametrize("of", [list, np.asarray, pd.Series, lambda mask: bool(mask[0])])
def test_a_mask_is_refused_with_the_remedy(of: Any, of_frame: UnlearningClassifier) -> None:
    model = copy.deepcopy(of_frame)
    with pytest.raises(DataError, match=r"^expected ids of rows, got a mask of true and false; .*`X.index\[mask\]`"):
        model.unlearn(of([True] + [False] * 89), Spy())
    assert len(model.ids_) == 90


def test_an_index_with_a_label_twice_is_refused_unless_ids_are_given(
    rows: tuple[np.ndarray, np.ndarray], frame: pd.DataFrame
) -> None:
    twice = frame.set_index(pd.Index([100, 100, *range(88)]))
    with pytest.raises(
        DataError, match=r"^expected an index with every label once, got '100' more than once; pass ids="
    ):
        UnlearningClassifier(epochs=1).fit(twice, rows[1])
    assert UnlearningClassifier(epochs=1).fit(twice, rows[1], ids=range(90)).ids_.tolist() == [*map(str, range(90))]


def test_a_pipeline_that_keeps_frames_keeps_the_index(rows: tuple[np.ndarray, np.ndarray], frame: pd.DataFrame) -> None:
    def pipeline() -> Any:
        return make_pipeline(StandardScaler(), UnlearningClassifier(epochs=2, random_state=0))

    y = rows[1][frame.index - 100]
    keeping = pipeline().set_output(transform="pandas").fit(frame, y)
    named = pipeline().fit(frame, y, unlearningclassifier__ids=frame.index)
    for fitted in (keeping, named):
        assert fitted[-1].unlearn(117, Spy()).forgotten_.tolist() == ["117"]
        assert "117" not in fitted[-1].ids_
    assert pipeline().fit(frame, y)[-1].ids_.tolist() == [*map(str, range(90))]


def test_the_forgotten_rows_of_a_frame_are_audited_by_their_index(
    rows: tuple[np.ndarray, np.ndarray], frame: pd.DataFrame, of_frame: UnlearningClassifier, tmp_path: Path
) -> None:
    labels = list(range(100, 130))
    model = copy.deepcopy(of_frame).unlearn(labels, "retrain")
    unseen = pd.DataFrame(rows[0][:45] + np.float32(0.01), columns=frame.columns), rows[1][:45]
    turned = frame.loc[labels[::-1]]
    with pytest.raises(
        DataError, match="expected the forgotten rows in the index, got none of '129'; give the rows of"
    ):
        model.audit(frame.loc[[*labels[:-1], 140]], rows[1][:30], *unseen, folder=tmp_path)
    result = model.audit(turned, rows[1][turned.index - 100], *unseen, folder=tmp_path, models=4)
    score = model.score(turned, rows[1][turned.index - 100])
    assert result.models[0].accuracy.forget.value == pytest.approx(100 * score)
    frame_of_result = result.to_frame()
    assert frame_of_result["ft_auc"].between(0, 100).all()
    assert len(str(result)) < 1500
