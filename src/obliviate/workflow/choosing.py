"""Rules that ask the references what to forget: what they memorise, and what they contradict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from obliviate.data.amounts import check_amount, count_of
from obliviate.data.rules import Among, Chosen, Rule
from obliviate.data.samples import Samples
from obliviate.membership.outputs import Outputs
from obliviate.metrics.memorisation import largest, memorisation, out_of_sample
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification, Task


@dataclass(frozen=True, eq=False)
class Seen:
    """What every reference says of training samples: whether it is right, its margin, and whether it had it."""

    right: Float[np.ndarray, "models n"]
    margins: Float[np.ndarray, "models n"]
    included: Bool[np.ndarray, "models n"]


def memorised(amount: float, pool: ReferencePool | Callable[[], ReferencePool], task: Task) -> Rule:
    """Choose the training samples that the references memorise most: a share in (0, 1), or a whole number of them.

    Memorisation is how much more often references that were trained on a sample get it right than those that were not
    (Feldman & Zhang 2020; `metrics.memorisation`). Equal ones are told apart by the same difference of the margins
    (`Task.score`), then by their place. The pool may be a function that opens it when the rule is followed.

    An audit of such samples needs retrained models, or other references: of these very ones, chance has chosen the
    samples on which they are extreme, so that other models that never saw them seem to leak beside them.

    Raises DataError for an amount out of range and, when the rule is followed, for samples outside the pool.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     split = experiment.split(ob.memorised(5, pool, experiment.task))
    >>> len(split.forget)
    5
    """

    def chosen(among: Among) -> Chosen:
        seen = look(among.train, pool, task)
        count = count_of(amount, len(among.train), rule="memorised")
        scores = memorisation(seen.right, seen.included)
        places = largest(scores, memorisation(seen.margins, seen.included), count)
        words = f"the {count} most memorised by {len(seen.right)} references"
        by_name = {"memorised": scores[places].tolist()}
        return Chosen(among.train.ids[places].tolist(), words, by_name, len(seen.right))

    check_amount(amount, rule="memorised")
    return Rule(f"memorised:{amount:g}", chosen)


def mislabelled(amount: float, pool: ReferencePool | Callable[[], ReferencePool], task: Task) -> Rule:
    """Choose the training samples whose labels the references contradict most: a share in (0, 1), or a whole number.

    Only references that were not trained on a sample are asked, and the fewest that agree with its label come first
    (Brodley & Friedl 1999; `metrics.memorisation.out_of_sample`). Equal ones are told apart by the mean margin
    (`Task.score`), then by their place. Samples that are right but hard are contradicted too: look before forgetting.

    Raises DataError as `memorised` does.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     split = experiment.split(ob.mislabelled(0.1, pool, experiment.task))
    >>> len(split.forget)
    10
    """

    def chosen(among: Among) -> Chosen:
        seen = look(among.train, pool, task)
        count = count_of(amount, len(among.train), rule="mislabelled")
        agreed = out_of_sample(seen.right, seen.included)
        places = largest(-agreed, -out_of_sample(seen.margins, seen.included), count)
        words = f"the {count} whose labels {len(seen.right)} references contradict most"
        by_name = {"agreed": agreed[places].tolist()}
        return Chosen(among.train.ids[places].tolist(), words, by_name, len(seen.right))

    check_amount(amount, rule="mislabelled")
    return Rule(f"mislabelled:{amount:g}", chosen)


def look(train: Samples, pool: ReferencePool | Callable[[], ReferencePool], task: Task) -> Seen:
    """Read what the references say of training samples, one reference at a time.

    Raises AuditError for samples outside the pool, and for outputs that are not finite.
    """
    pool = pool if isinstance(pool, ReferencePool) else pool()
    rows = pool.rows(train.ids)
    labels = train.targets.numpy() if isinstance(task, Classification) else None
    right, margins = np.empty((len(pool), len(train))), np.empty((len(pool), len(train)))
    for member, outputs in enumerate(pool.logits.rows(rows)):
        seen = Outputs.checked(outputs, labels, whose=f"reference {member}")
        right[member], margins[member] = seen.correct, seen.margin
    return Seen(right, margins, pool.included[:, rows])
