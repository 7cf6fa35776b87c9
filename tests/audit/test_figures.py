import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score, recall_score, roc_auc_score

from obliviate.audit.figures import View, f1_influences, views
from obliviate.audit.inputs import AuditSamples
from obliviate.membership.outputs import Outputs

SIZE = 600
RNG = np.random.default_rng(0)
FORGET, RETAIN, UNSEEN = np.split(np.arange(SIZE), [60, 360])
INDEX = {"forget": FORGET, "retain": RETAIN, "unseen": UNSEEN}


def signals(outputs: np.ndarray, labels: np.ndarray | None) -> Outputs:
    return Outputs.checked(outputs, labels, whose="a model")


def figures(all_views: list[View], seen: Outputs, part: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for view in all_views:
        if view.part == part:
            mean, _, _ = view.means(view.read(seen, np.ones(len(view.index), dtype=bool)))
            values |= dict(zip(view.names, view.figures(mean).tolist(), strict=True))
    return values


def samples(labels: np.ndarray | None, **facts: object) -> AuditSamples:
    return AuditSamples(labels=labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [2, 5])
def test_figures_of_classes_are_those_of_scikit_learn(classes: int):
    labels = RNG.integers(0, classes, SIZE)
    logits = RNG.normal(size=(SIZE, classes))
    logits[np.arange(SIZE), labels] += 1
    all_views = views(samples(labels), INDEX, columns=classes)
    for part in ("retain", "unseen"):
        rows = INDEX[part]
        truth, predicted = labels[rows], logits[rows].argmax(axis=1)
        values = figures(all_views, signals(logits, labels), part)
        assert values["accuracy"] == pytest.approx((truth == predicted).mean())
        assert values["balanced accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
        for label in range(classes):
            recall = recall_score(truth, predicted, labels=[label], average="macro")
            assert values[f"recall of class {label}"] == pytest.approx(recall)
        if classes == 2:
            assert values["AUC"] == pytest.approx(roc_auc_score(truth, logits[rows, 1] - logits[rows, 0]))
        else:
            assert "AUC" not in values


def test_r_squared_macro_f1_and_perplexity_are_those_of_their_definitions():
    target = RNG.normal(size=SIZE)
    predicted = target + 0.5 * RNG.normal(size=SIZE)
    outputs = np.stack([0.5 * (predicted - target) ** 2, np.zeros(SIZE), np.ones(SIZE)], axis=1)
    null_loss = np.zeros(SIZE)
    for rows in (RETAIN, UNSEEN):
        null_loss[rows] = 0.5 * (target[rows] - target[rows].mean()) ** 2
    all_views = views(samples(None, null_loss=null_loss), INDEX, columns=3)
    values = figures(all_views, signals(outputs, None), "unseen")
    assert values["R²"] == pytest.approx(r2_score(target[UNSEEN], predicted[UNSEEN]))

    all_views = views(samples(None, tokens=True), INDEX, columns=3)
    perplexity = np.exp(-figures(all_views, signals(outputs, None), "retain")["perplexity"])
    assert perplexity == pytest.approx(np.exp(outputs[RETAIN, 0].mean()))

    present = RNG.random((SIZE, 4)) < 0.3
    answers = present ^ (RNG.random((SIZE, 4)) < 0.2)
    columns = np.concatenate([outputs, answers], axis=1)
    all_views = views(samples(None, present=present), INDEX, columns=7)
    values = figures(all_views, signals(columns, None), "unseen")
    assert values["macro-F1"] == pytest.approx(f1_score(present[UNSEEN], answers[UNSEEN], average="macro"))


def test_influences_on_macro_f1_give_its_standard_error():
    present = RNG.random((400, 3)) < 0.4
    answers = present ^ (RNG.random((400, 3)) < 0.25)
    claimed = f1_influences(answers, present).std() / np.sqrt(400)
    drawn = [RNG.integers(0, 400, 400) for _ in range(600)]
    bootstrap = np.std([f1_influences(answers[rows], present[rows]).mean() for rows in drawn])
    assert claimed == pytest.approx(bootstrap, rel=0.12)


def test_classes_with_few_samples_are_looked_at_together_and_forgotten_ones_not_at_all():
    labels = np.repeat(np.arange(10), SIZE // 10)
    RNG.shuffle(labels)
    labels[labels == 8] = 7
    labels[RETAIN[:4]], labels[RETAIN[4:12]], labels[UNSEEN[:6]] = 10, 11, 10  # two rare classes
    labels[labels == 9] = 0
    labels[FORGET[:20]] = labels[UNSEEN[6:20]] = 12  # a class that is forgotten as a whole
    all_views = views(samples(labels), INDEX, columns=13)
    names = [name for view in all_views for name in view.names if view.part == "unseen"]
    assert "recall of the 1 classes with few samples" not in names  # of 4 samples nothing can be said
    assert "recall of class 12" not in names
    assert {f"recall of class {label}" for label in range(8)} <= set(names)
    labels[RETAIN[12:20]] = 10  # 12 of them: enough
    both = views(samples(labels), INDEX, columns=13)
    assert "recall of class 10" in [name for view in both for name in view.names]


def test_classes_are_called_what_people_call_them():
    labels = RNG.integers(0, 2, SIZE)
    figures = [
        name for view in views(samples(labels, class_names=("no", "yes")), INDEX, columns=2) for name in view.names
    ]
    assert {name for name in figures if "recall" in name} == {"recall of class no", "recall of class yes"}


def test_classes_that_are_spared_play_no_part():
    labels = RNG.integers(0, 3, SIZE)
    logits = RNG.normal(size=(SIZE, 3))
    all_views = views(samples(labels), INDEX, columns=3, spared=[2])
    values = figures(all_views, signals(logits, labels), "unseen")
    rows = UNSEEN[labels[UNSEEN] != 2]
    assert values["accuracy"] == pytest.approx((logits[rows].argmax(axis=1) == labels[rows]).mean())
    assert "recall of class 2" not in values


def test_a_handful_of_equal_values_is_not_certain_beyond_all_doubt():
    labels = np.zeros(SIZE, dtype=int)
    view = views(samples(labels), INDEX, columns=3)[0]
    _, variance, count = view.means(np.ones(len(view.index)))
    assert 0 < variance[0] < 0.01
    assert count[0] == len(RETAIN)
