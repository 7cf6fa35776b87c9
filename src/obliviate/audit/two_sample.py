"""Whether forget and unseen samples differ by themselves."""

from __future__ import annotations

from typing import Final

import numpy as np

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.inputs import AuditSamples
from obliviate.audit.percent import percent
from obliviate.membership.base import PARTS
from obliviate.metrics.two_sample import classifier_two_sample
from obliviate.results.findings import TwoSample

PERMUTATIONS: Final = (59, 199)  # more where few leave a doubt, and p can be 1/200
DOUBT: Final = 0.05
SUSPICIOUS: Final = 0.01
FOLDS: Final = 5
MOST_CLASSES: Final = 50  # whose labels are features
SHIFT: Final = 0.05  # of AUC beyond 0.5, from which training and unseen samples are of two kinds


def two_sample(attacks: FittedAttacks, samples: AuditSamples) -> TwoSample:
    """Whether forget and unseen samples differ for models that never saw them, in difficulty or in class."""
    features, labels = attacks.unseen_features, samples.classes(samples.index)
    if labels is not None and len(classes := np.unique(labels)) <= MOST_CLASSES:
        features += [(labels == label).astype(np.float64) for label in classes[1:]]
    columns = np.stack(features, axis=1)
    parts = [columns[samples.part_of == PARTS.index(part)] for part in ("forget", "unseen")]
    if min(map(len, parts)) < FOLDS * 2:
        return TwoSample(auc=None, p_value=None, differs=None)
    few, more = PERMUTATIONS
    test = classifier_two_sample(*parts, folds=FOLDS, permutations=few)
    if test.p_value <= DOUBT:
        test = classifier_two_sample(*parts, folds=FOLDS, permutations=more)
    return TwoSample(auc=percent(test.auc), p_value=test.p_value, differs=bool(test.p_value <= SUSPICIOUS))


def shifted(attacks: FittedAttacks, samples: AuditSamples) -> bool:
    """Whether training samples, retained and forgotten, are certainly of another kind than unseen ones of a class.

    Texts of another year are, for example. Told by how difficult samples are for models that never saw them: the AUC,
    with 95 % confidence, is above 0.5 by more than `SHIFT`.
    """
    columns, labels = np.stack(attacks.unseen_features, axis=1), samples.classes(samples.index)
    unseen = samples.part_of == PARTS.index("unseen")
    trained = ~unseen if labels is None else ~unseen & np.isin(labels, labels[unseen])
    if min(unseen.sum(), trained.sum()) < FOLDS * 2:
        return False
    return classifier_two_sample(columns[trained], columns[unseen], folds=FOLDS, permutations=1).auc.low > 0.5 + SHIFT
