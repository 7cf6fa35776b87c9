"""Tests that were planned before training, in results.json."""

from __future__ import annotations

from obliviate.results.roles import Role
from obliviate.results.values import Value


class CoinTest(Value):
    """What guessing the coins by one model came to: an exact test that needs no other model."""

    name: str
    """the model's"""
    role: Role
    """the model's"""
    trials: int
    """number of coins"""
    correct: int
    """number of right guesses"""
    accuracy: float
    """their share"""
    low: float
    """lower limit of the share, 95 % Clopper–Pearson"""
    high: float
    """upper limit"""
    p_value: float
    """one-sided and exact, against one half; a fraction"""
    calibrated: bool
    """whether the mean margin of retrained models was subtracted from the model's own"""


class CoinFlips(Value):
    """The tests of all models where coins were tossed before training and the heads are forgotten."""

    heads: int
    """samples that were trained on and forgotten"""
    tails: int
    """samples that were never seen"""
    power: float
    """to find, at level 5 %, guesses that are right in 55 % of cases; a fraction"""
    models: tuple[CoinTest, ...]
    """one for each model"""


class NoiseFound(Value):
    """What one model still knows of planted noise."""

    name: str
    """the model's"""
    role: Role
    """the model's"""
    mean: float
    """mean score"""
    z: float
    """standard normal for a model that never saw the noise"""
    p_value: float
    """one-sided and exact, a fraction"""


class PlantedNoise(Value):
    """The tests of all models where noise was planted before training and its samples are forgotten."""

    samples: int
    """samples with noise"""
    sigma: float
    """scale of the noise, in units of the inputs"""
    detectable: float
    """the least mean score that is found, at level 5 %, with 80 % power"""
    models: tuple[NoiseFound, ...]
    """one for each model that could be tested"""
    notes: tuple[str, ...]
    """which models could not be tested, and why"""
