"""Make a trained PyTorch model forget chosen training samples, and show with honest statistics how well it did.

The public names are imported when they are first used, so that `import obliviate` and the command line answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obliviate.audit.inputs import AuditSettings
    from obliviate.audit.result import AuditResult
    from obliviate.canaries.coin_flips import coin_flips
    from obliviate.canaries.coins import Coins, toss
    from obliviate.canaries.noise import noise_test, plant, planted_noise
    from obliviate.comparison import Comparison, compare
    from obliviate.data.rules import Rule, class_ids, owner, random_ids, where, with_copies
    from obliviate.data.samples import Samples
    from obliviate.data.sources import load_data
    from obliviate.data.split import Split
    from obliviate.errors import ObliviateError
    from obliviate.estimator import UnlearningClassifier, UnlearningRegressor
    from obliviate.experiment import Experiment
    from obliviate.inspection import Inspection, inspect_models
    from obliviate.methods.amun import AMUN, adversarial_examples
    from obliviate.methods.bad_teacher import BadTeacher
    from obliviate.methods.base import Method
    from obliviate.methods.boundary_shrink import BoundaryShrink
    from obliviate.methods.ct import CT
    from obliviate.methods.fine_tune import FineTune
    from obliviate.methods.gradient_ascent import GradientAscent
    from obliviate.methods.influence import Influence
    from obliviate.methods.l1_sparse import L1Sparse
    from obliviate.methods.laf import LAF
    from obliviate.methods.lotus import LoTUS
    from obliviate.methods.mixunlearn import MixUnlearn
    from obliviate.methods.msg import MSG
    from obliviate.methods.nabla_tau import NablaTau
    from obliviate.methods.neg_grad_plus import NegGradPlus
    from obliviate.methods.never_seen import NeverSeen
    from obliviate.methods.random_label import RandomLabel
    from obliviate.methods.regun import ReGUn
    from obliviate.methods.retrain import Retrain
    from obliviate.methods.rum import RUM
    from obliviate.methods.salun import SalUn
    from obliviate.methods.scrub import Scrub
    from obliviate.methods.sfron import SFRon
    from obliviate.methods.sisa import SISA
    from obliviate.methods.ssd import SSD
    from obliviate.methods.trew import TREW
    from obliviate.references.pool import ReferencePool
    from obliviate.references.shadows import ShadowPool
    from obliviate.report.text import format_table
    from obliviate.results.schema import CoinFlips, PlantedNoise
    from obliviate.task import CausalLM, Classification, MultiLabel, Regression, Task, task_of
    from obliviate.training.class_weights import balanced_weights
    from obliviate.training.compute import Compute, computing
    from obliviate.training.defaults import recipe_for
    from obliviate.training.recipe import Recipe
    from obliviate.training.run import Run, Update
    from obliviate.types import Batch
    from obliviate.workflow import (
        Measuring,
        Session,
        TrainedModel,
        Tuned,
        audit_models,
        load_references,
        memorised,
        mislabelled,
        save_report,
        train,
        train_references,
        train_shadows,
        tune,
        unlearn,
        within_budget,
    )

_HOMES = {
    "AMUN": "methods.amun",
    "AuditResult": "audit.result",
    "AuditSettings": "audit.inputs",
    "BadTeacher": "methods.bad_teacher",
    "Batch": "types",
    "BoundaryShrink": "methods.boundary_shrink",
    "CausalLM": "task",
    "Classification": "task",
    "MultiLabel": "task",
    "recipe_for": "training.defaults",
    "task_of": "task",
    "Regression": "task",
    "CoinFlips": "results.schema",
    "Coins": "canaries.coins",
    "Comparison": "comparison",
    "Compute": "training.compute",
    "computing": "training.compute",
    "Experiment": "experiment",
    "FineTune": "methods.fine_tune",
    "GradientAscent": "methods.gradient_ascent",
    "Influence": "methods.influence",
    "Inspection": "inspection",
    "L1Sparse": "methods.l1_sparse",
    "LAF": "methods.laf",
    "Measuring": "workflow",
    "Method": "methods.base",
    "MixUnlearn": "methods.mixunlearn",
    "NablaTau": "methods.nabla_tau",
    "NegGradPlus": "methods.neg_grad_plus",
    "NeverSeen": "methods.never_seen",
    "ObliviateError": "errors",
    "PlantedNoise": "results.schema",
    "RUM": "methods.rum",
    "RandomLabel": "methods.random_label",
    "Rule": "data.rules",
    "Recipe": "training.recipe",
    "ReferencePool": "references.pool",
    "Retrain": "methods.retrain",
    "Run": "training.run",
    "SISA": "methods.sisa",
    "SSD": "methods.ssd",
    "SalUn": "methods.salun",
    "Samples": "data.samples",
    "Scrub": "methods.scrub",
    "Session": "workflow",
    "ShadowPool": "references.shadows",
    "Split": "data.split",
    "Task": "task",
    "TrainedModel": "workflow",
    "CT": "methods.ct",
    "LoTUS": "methods.lotus",
    "MSG": "methods.msg",
    "ReGUn": "methods.regun",
    "SFRon": "methods.sfron",
    "TREW": "methods.trew",
    "Tuned": "workflow",
    "Update": "training.run",
    "UnlearningClassifier": "estimator",
    "UnlearningRegressor": "estimator",
    "adversarial_examples": "methods.amun",
    "audit_models": "workflow",
    "balanced_weights": "training.class_weights",
    "class_ids": "data.rules",
    "coin_flips": "canaries.coin_flips",
    "compare": "comparison",
    "inspect_models": "inspection",
    "load_data": "data.sources",
    "load_references": "workflow",
    "memorised": "workflow",
    "mislabelled": "workflow",
    "noise_test": "canaries.noise",
    "owner": "data.rules",
    "plant": "canaries.noise",
    "planted_noise": "canaries.noise",
    "random_ids": "data.rules",
    "save_report": "workflow",
    "format_table": "report.text",
    "toss": "canaries.coins",
    "train": "workflow",
    "train_references": "workflow",
    "train_shadows": "workflow",
    "tune": "workflow",
    "within_budget": "workflow",
    "unlearn": "workflow",
    "where": "data.rules",
    "with_copies": "data.rules",
}

__all__ = [
    "AMUN",
    "CT",
    "LAF",
    "MSG",
    "RUM",
    "SISA",
    "SSD",
    "TREW",
    "AuditResult",
    "AuditSettings",
    "BadTeacher",
    "Batch",
    "BoundaryShrink",
    "CausalLM",
    "Classification",
    "CoinFlips",
    "Coins",
    "Comparison",
    "Compute",
    "Experiment",
    "FineTune",
    "GradientAscent",
    "Influence",
    "Inspection",
    "L1Sparse",
    "LoTUS",
    "Measuring",
    "Method",
    "MixUnlearn",
    "MultiLabel",
    "NablaTau",
    "NegGradPlus",
    "NeverSeen",
    "ObliviateError",
    "PlantedNoise",
    "RandomLabel",
    "ReGUn",
    "Recipe",
    "ReferencePool",
    "Regression",
    "Retrain",
    "Rule",
    "Run",
    "SFRon",
    "SalUn",
    "Samples",
    "Scrub",
    "Session",
    "ShadowPool",
    "Split",
    "Task",
    "TrainedModel",
    "Tuned",
    "UnlearningClassifier",
    "UnlearningRegressor",
    "Update",
    "adversarial_examples",
    "audit_models",
    "balanced_weights",
    "class_ids",
    "coin_flips",
    "compare",
    "computing",
    "format_table",
    "inspect_models",
    "load_data",
    "load_references",
    "memorised",
    "mislabelled",
    "noise_test",
    "owner",
    "plant",
    "planted_noise",
    "random_ids",
    "recipe_for",
    "save_report",
    "task_of",
    "toss",
    "train",
    "train_references",
    "train_shadows",
    "tune",
    "unlearn",
    "where",
    "with_copies",
    "within_budget",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'obliviate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"obliviate.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
