"""Attacks in results.json: which were used, and what each came to on a model."""

from __future__ import annotations

from pydantic import JsonValue

from obliviate.results.values import Interval, Use, Value


class AttackUsed(Value):
    """An attack of an audit."""

    name: str
    """its name in the registry"""
    title: str
    """its name in the literature"""
    source: str
    """the publication"""
    use: Use
    """`verdict`: verdicts rest on it; `figure`: it is shown beside them; `cheap`: a cheap look at one model"""
    settings: dict[str, JsonValue]
    """its settings"""
    fitted: dict[str, JsonValue]
    """settings that were fitted on the references"""


class TestedDifference(Interval):
    """A difference of AUCs to the baseline in points with its 90 % interval, and how sure it is."""

    __test__ = False

    p_above: float
    """one-sided p-value of "no higher than models that never saw the forget set", a fraction"""
    p_below: float
    """one-sided p-value of "no lower", a fraction"""
    resolution: float
    """the margin that the attack resolves alone"""


class Rate(Value):
    """The true-positive rate of the game forget against unseen at a fixed false-positive rate."""

    fpr: float
    """the false-positive rate asked for"""
    unseen_needed: int
    """from how many unseen samples on it is resolved"""
    tpr: Interval | None
    """true-positive rate there, 95 % Clopper–Pearson; null where the samples are too few"""
    realised_fpr: Interval | None
    """false-positive rate on unseen samples that did not set the threshold; null likewise"""


class AttackOutcome(Value):
    """What one attack found on one model: AUCs of its games with DeLong's intervals."""

    ft: Interval
    """forget against unseen samples"""
    fr: Interval | None = None
    """retain against forget samples; null for attacks by shadows, which have no retain samples"""
    rt: Interval | None = None
    """retain against unseen samples; null likewise"""
    difference: TestedDifference | None = None
    """of `ft` to the baseline; null for attacks that no verdict rests on"""
    rates: tuple[Rate, ...] = ()
    """true-positive rates at 1 and 0.1 % false positives, of attacks with references that verdicts rest on"""
