"""Estimators in the manner of scikit-learn that can forget: `fit`, `predict`, `score`, and `unlearn` by row.

Buitinck et al., "API design for machine learning software", 2013, arXiv 1309.0238, for the interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.audit.result import AuditResult
from obliviate.data.ids import as_ids, shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.experiment import Experiment
from obliviate.methods import find
from obliviate.methods.base import Method
from obliviate.task import Classification, Regression, Task
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.types import Ids
from obliviate.workflow import Effect, Session, TrainedModel, audit_models, train, train_references

T = TypeVar("T", bound="_Unlearner")


class _Unlearner(BaseEstimator, ABC):
    """What both estimators share: a network that is trained by a recipe, the rows that it knows, and their ids."""

    seed_: int
    recipe_: Recipe
    task_: Task
    session_: Session
    """The model that serves, the rows that it knows, and the ids of those that it was made to forget."""
    _default: ClassVar[str]
    """The method where none is named."""

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (64, 64),
        module: Callable[..., nn.Module] | None = None,
        epochs: int = 40,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        weight_decay: float = 0.0,
        schedule: str = "one_cycle",
        perturbable: Sequence[int] | None = None,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.module = module
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.perturbable = perturbable
        self.random_state = random_state

    @abstractmethod
    def _learn_targets(self, y: Any) -> None:
        """Look at the targets to be trained on before anything is made of them."""

    @abstractmethod
    def _encoded(self, y: Any) -> Tensor:
        """Turn targets into what the task wants; raises DataError for those that it does not know."""

    @abstractmethod
    def _width(self) -> int:
        """The number of outputs of the network."""

    @abstractmethod
    def _task(self, x: Float[Tensor, "n features"]) -> Task:
        """The task of a model that is trained on these rows."""

    def fit(self: T, X: Any, y: Any, ids: Iterable[Any] | None = None) -> T:
        """Train a new network on all rows; `ids` are names by which rows can be forgotten.

        Left out, they are the index of a DataFrame, or else the numbers of the rows.
        Raises DataError for ids that are not as many as rows, or are not unique; RecipeError for settings out of range.
        """
        index = _index_of(X) if ids is None else None
        X, y = validate_data(self, X, y, dtype=np.float32)
        row_names = range(len(X)) if ids is None else ids
        names = as_ids(map(str, row_names), what="ids") if index is None else _unique(index)
        if len(names) != len(X):
            raise DataError(f"expected one id a row, got {len(names)} ids for {len(X)} rows; leave no row out")
        self._learn_targets(y)
        shape = {"features": X.shape[1]}
        architecture: dict[str, Any] = (
            {"model": "mlp", "model_options": shape | {"classes": self._width(), "hidden": tuple(self.hidden)}}
            if self.module is None
            else {"model": self.module, "model_options": shape | {"outputs": self._width()}}
        )
        recipe = Recipe(
            **architecture,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            precision="float32",
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        samples = Samples.from_tensors(torch.tensor(X), self._encoded(y), ids=names)
        task = self._task(samples.everything().x)
        self.session_ = Session.of(train(Experiment(task, recipe, samples, seed=seed)), samples)
        self.seed_, self.recipe_, self.task_ = seed, recipe, task
        return self

    @property
    def model_(self) -> nn.Module:
        """The network that serves."""
        return self.session_.model

    @property
    def samples_(self) -> Samples:
        """The rows that the model knows."""
        return self.session_.history.remaining

    @property
    def ids_(self) -> Shaped[np.ndarray, " n"]:
        """The ids of the rows that the model knows, as strings."""
        check_is_fitted(self)
        return self.samples_.ids

    @property
    def forgotten_(self) -> Shaped[np.ndarray, " n"]:
        """The ids of the rows that were forgotten, in order, as strings."""
        return self.session_.forgotten

    @property
    def effect_(self) -> Effect | None:
        """What the last request did to utility on forget, retained and holdout rows; None before any."""
        return self.session_.trained.effect

    def unlearn(self: T, ids: Any, method: str | Method | None = None, *, holdout: tuple[Any, Any] | None = None) -> T:
        """Forget rows by their ids: one id, or several; of a DataFrame the rows of its index.

        `method` is a name of `obliviate methods`, with its defaults, or a `Method` as you set it; without one, `amun`
        for classes and `retrain` for numbers. The forgotten rows are dropped from the estimator as well, so that no
        later request trains on them. `holdout` are rows (X, y) that the model has never seen, for the methods that
        need such.

        Raises DataError for ids that are unknown, forgotten before or named twice, for a mask, and for all rows;
        MethodError for a method that is unknown or does not serve the task. The estimator is then as it was.
        """
        check_is_fitted(self)
        several = _asked(ids)
        unseen = None if holdout is None else self._samples(*holdout, prefix="holdout")
        session = replace(self.session_, history=replace(self.session_.history, holdout=unseen))
        chosen = find(method or self._default)() if isinstance(method, str | None) else method
        seed = derive(self.seed_, "unlearn", len(self.forgotten_))
        served = session.forget(map(str, several), chosen, seed=seed).erased()
        self.task_ = self._task(served.history.remaining.everything().x)
        self.session_ = replace(served, trained=replace(served.trained, task=self.task_))
        return self

    def audit(
        self,
        X: Any,
        y: Any,
        X_unseen: Any,
        y_unseen: Any,
        *,
        folder: Path | str,
        models: int = 16,
    ) -> AuditResult:
        """Compare the model with references that never saw the forgotten rows (docs/references.md).

        `X` and `y` are the forgotten rows, which the estimator holds no longer, in the order of `forgotten_`; a
        DataFrame that has these in its index may be in any order. The unseen rows are those that nothing was trained
        on. References are trained in `folder`, and read from there again.
        Raises DataError for another number of rows or another index, AuditError where nothing can be audited.
        """
        check_is_fitted(self)
        if len(X) != len(self.forgotten_) or not len(X):
            raise DataError(
                f"expected the {len(self.forgotten_)} forgotten rows, got {len(X)}; "
                "call `unlearn`, and give the rows of `forgotten_`"
            )
        forget = self._samples(X, y, ids=self._forgotten_in(X))
        unseen = self._samples(X_unseen, y_unseen, prefix="unseen")
        trained = forget.joined(self.samples_)
        experiment = Experiment(self.task_, self.recipe_, trained, unseen, seed=self.seed_)
        pool = train_references(experiment, folder=folder, models=models, workers=0)
        candidate = TrainedModel.given(self.model_, self.task_, role="unlearned", name=type(self).__name__)
        return audit_models(experiment, [candidate], Split(forget, self.samples_), pool)

    def _forgotten_in(self, X: Any) -> Ids:
        """The ids of these forgotten rows: their order, or the index where it is by these ids that they are known."""
        index = _index_of(X)
        if index is None or not np.isin(self.forgotten_, index).any():
            return self.forgotten_
        if len(missing := np.setdiff1d(self.forgotten_, index)):
            raise DataError(
                f"expected the forgotten rows in the index, got none of {shown(missing)}; give the rows of `forgotten_`"
            )
        return _unique(index)

    def _samples(self, X: Any, y: Any, *, ids: Any = None, prefix: str = "") -> Samples:
        X, y = validate_data(self, X, y, dtype=np.float32, reset=False)
        names = [f"{prefix}/{row}" for row in range(len(X))] if ids is None else ids
        return Samples.from_tensors(torch.tensor(X), self._encoded(y), ids=names)

    def _outputs(self, X: Any) -> Float[np.ndarray, "n outputs"]:
        check_is_fitted(self)
        x = torch.tensor(validate_data(self, X, dtype=np.float32, reset=False))
        unused = torch.zeros(len(x))
        output = outputs(self.model_, Samples.from_tensors(x, unused, ids=map(str, range(len(x)))))
        return output.double().numpy()


def _index_of(X: Any) -> Ids | None:
    """The index of a DataFrame as texts; None for anything without one."""
    return None if (labels := getattr(X, "index", None)) is None or callable(labels) else np.array([*map(str, labels)])


def _unique(index: Ids) -> Ids:
    """The ids that an index gives; raises DataError for labels that stand there twice."""
    labels, counts = np.unique(index, return_counts=True)
    if len(labels) < len(index):
        raise DataError(
            f"expected an index with every label once, got {shown(labels[counts > 1])} more than once; pass ids=, or "
            "number the rows with `X.reset_index(drop=True)`"
        )
    return as_ids(index, what="ids")


def _asked(ids: Any) -> Iterable[Any]:
    """The ids of a request; raises DataError for a mask, which would be read as the ids True and False."""
    if isinstance(ids, str | int | np.integer) and not isinstance(ids, bool):
        return [ids]
    if getattr(ids, "ndim", None) == 2 and (index := _index_of(ids)) is not None:
        return index
    names = [ids] if isinstance(ids, bool | np.bool_) else list(ids)
    if names and all(isinstance(name, bool | np.bool_) for name in names):
        raise DataError(
            "expected ids of rows, got a mask of true and false; name the rows, as in `X.index[mask]`, or "
            "`model.ids_[mask]` for a mask over the rows that the model knows"
        )
    return names


class UnlearningClassifier(ClassifierMixin, _Unlearner):
    """A network for rows of numbers in the manner of scikit-learn, which can forget rows.

    `hidden` are the widths of its layers; `module` is your own function instead, called with `features` and `outputs`
    (the number of columns and of classes), which returns logits. The other settings are those of `obliviate.Recipe`.
    `perturbable` are the columns that adversarial methods may change, by default all: leave categories out. Scale the
    columns first, as for every network. After `fit`: `classes_`, `model_`, `ids_`, `forgotten_`. The index of a
    DataFrame names its rows (docs/pandas.md).

    >>> X, y = np.eye(4, dtype=np.float32).repeat(10, axis=0), np.repeat(["a", "b", "a", "b"], 10)
    >>> model = UnlearningClassifier(epochs=10, random_state=0).fit(X, y)
    >>> model.score(X, y), model.unlearn([3, 17], method="fine_tune").forgotten_.tolist(), len(model.ids_)
    (1.0, ['3', '17'], 38)
    """

    classes_: Shaped[np.ndarray, " classes"]
    _default: ClassVar[str] = "amun"

    def predict(self, X: Any) -> Shaped[np.ndarray, " n"]:
        """Return the most likely class of each row."""
        output = self._outputs(X)
        return self.classes_[output.argmax(1)]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n classes"]:
        """Return the probability of each of `classes_`, row by row."""
        logits = self._outputs(X)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    def _learn_targets(self, y: Any) -> None:
        check_classification_targets(y)
        self.classes_ = np.unique(y)

    def _encoded(self, y: Any) -> Tensor:
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise DataError(
                f"expected classes of {shown(self.classes_, 10)}, got {shown(unknown)}; train with them first"
            )
        return torch.from_numpy(np.searchsorted(self.classes_, y).astype(np.int64))

    def _width(self) -> int:
        return len(self.classes_)

    def _task(self, x: Float[Tensor, "n features"]) -> Task:
        free = None if self.perturbable is None else tuple(self.perturbable)
        low, high = (tuple(bound.tolist()) for bound in (x.amin(0), x.amax(0)))
        return Classification(classes=self._width(), input_range=(low, high), perturbable=free)


class UnlearningRegressor(RegressorMixin, _Unlearner):
    """A network that predicts one number from rows of numbers in the manner of scikit-learn, and can forget rows.

    The settings are those of `UnlearningClassifier`. The loss is the squared error: scale the targets too, for example
    to a standard deviation of 1. `unlearn` retrains unless told otherwise: that is exact, while `fine_tune` forgets
    little of a small table, and methods that need classes, such as `amun`, are refused.

    >>> X = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    >>> model = UnlearningRegressor(epochs=20, random_state=0).fit(X, 2 * X[:, 0])
    >>> model.unlearn([0, 1]).score(X[2:], 2 * X[2:, 0]) > 0.95
    True
    """

    _default: ClassVar[str] = "retrain"

    def predict(self, X: Any) -> Float[np.ndarray, " n"]:
        """Return the prediction for each row."""
        return self._outputs(X)[:, 0]

    def _learn_targets(self, y: Any) -> None:
        pass

    def _encoded(self, y: Any) -> Tensor:
        return torch.from_numpy(np.asarray(y, dtype=np.float32).copy())

    def _width(self) -> int:
        return 1

    def _task(self, x: Float[Tensor, "n features"]) -> Task:  # noqa: ARG002
        return Regression()
